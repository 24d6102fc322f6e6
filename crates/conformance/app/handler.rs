//! The handler of the suite's own app: its function RandomNumber answers a number.

use std::process::ExitCode;

use actix_web::{HttpResponse, http::header};
use serde_json::json;

#[actix_web::main]
async fn main() -> ExitCode {
    custom_handler::run(&[env!("CARGO_CRATE_NAME")], |functions| {
        functions.add("RandomNumber", number);
    })
    .await
}

async fn number() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({"value": 434}))
}
