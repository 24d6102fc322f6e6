//! The executable that the Functions host starts.

mod random_number;

use std::process::ExitCode;

#[actix_web::main]
async fn main() -> ExitCode {
    custom_handler::run(&[env!("CARGO_CRATE_NAME")], |functions| {
        functions.add("RandomNumber", random_number::random_number);
    })
    .await
}
