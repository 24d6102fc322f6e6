//! The function RandomNumber: answers a random number from 1 to 999.

use actix_web::{HttpRequest, HttpResponse, http::header};
use log::info;
use rand::RngExt;
use serde::Serialize;

use crate::server::invocation_id;

#[derive(Serialize)]
struct RandomNumber {
    value: u16,
}

pub async fn random_number(request: HttpRequest) -> HttpResponse {
    info!(
        "RandomNumber invoked via HTTP trigger. InvocationId: {}",
        invocation_id(&request)
    );
    let value = rand::rng().random_range(1..=999);
    HttpResponse::Ok()
        // Each call gets a number of its own, so no cache may keep one.
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(RandomNumber { value })
}
