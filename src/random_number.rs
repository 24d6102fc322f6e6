//! The function: a random number from 1 to 999.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::ServiceConfig,
};
use log::info;
use rand::RngExt;
use serde::Serialize;

use crate::server::{DrainedBody, InvocationId, http_trigger};

#[derive(Serialize)]
struct RandomNumber {
    value: u16,
}

/// Puts the function at its route. The name and the methods are those of
/// `RandomNumber/function.json`, by which the host routes.
pub fn configure(app: &mut ServiceConfig) {
    http_trigger(
        app,
        "RandomNumber",
        &[Method::GET, Method::POST],
        random_number,
    );
}

async fn random_number(request: HttpRequest, _body: DrainedBody) -> HttpResponse {
    info!(
        "RandomNumber invoked via HTTP trigger.{}",
        InvocationId::of(&request)
    );
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(RandomNumber {
            value: rand::rng().random_range(1..=999),
        })
}
