//! The function RandomNumber: answers a random number from 1 to 999.

use actix_web::{HttpResponse, http::header};
use log::info;
use rand::RngExt;
use serde::Serialize;

#[derive(Serialize)]
struct RandomNumber {
    value: u16,
}

pub async fn random_number() -> HttpResponse {
    info!("RandomNumber invoked via HTTP trigger");
    let value = rand::rng().random_range(1..=999);
    HttpResponse::Ok()
        // Each call gets a number of its own, so no cache may keep one.
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(RandomNumber { value })
}
