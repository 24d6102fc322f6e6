//! RandomNumber, an HTTP function behind the Azure Functions host, as a custom handler.
//!
//! The host owns the public address, the routes and the access keys; it starts the `handler`
//! executable and passes each permitted request on to it over loopback. One job per module:
//!
//! - [`random_number`]: the function, the only part to replace for another one;
//! - [`server`]: the HTTP server, with every setting that the host's behaviour asks for;
//! - [`logging`]: which line goes to which stream, and what never gets into one;
//! - `pipe`: why a log that nobody reads holds up no request.

pub mod logging;
mod pipe;
pub mod random_number;
pub mod server;
