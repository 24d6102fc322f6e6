//! The HTTP server: each setting answers something that the Functions host was seen to do.

use std::{
    env,
    net::Ipv4Addr,
    panic::AssertUnwindSafe,
    sync::{Arc, Once},
    time::Duration,
};

use actix_web::{
    App, Error, HttpResponse, HttpServer,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    error::ErrorInternalServerError,
    http::{KeepAlive, Method, StatusCode, header},
    middleware::{Next, from_fn},
};
use futures_util::FutureExt as _;
use log::{error, info, warn};

use crate::{
    app::FunctionApp,
    body::{Answer, Shared},
    functions::Functions,
    invocation::{self, CURRENT, Invocation},
};

/// The variable in which the host says where it will look for the handler.
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// Serves the functions until SIGTERM or SIGINT.
///
/// An error is one line, for the log.
pub async fn serve(
    app: FunctionApp,
    register: impl Fn(&mut Functions) + Clone + Send + 'static,
) -> Result<(), String> {
    let port = port()?;
    let app = Arc::new(app);
    let server = HttpServer::new(move || {
        let app = Arc::clone(&app);
        App::new()
            .wrap(from_fn(move |request, next| {
                answer(Arc::clone(&app), request, next)
            }))
            .configure(|config| drop(Functions::configure(config, &register)))
    })
    // A machine in Azure (an instance) has one or two cores, and the host needs most of them.
    .workers(1)
    // The host keeps idle connections for 60 s. If the handler closes one first, a request that
    // is just on its way fails: 29 of 960 POSTs did. So the handler never closes one.
    .keep_alive(KeepAlive::Os)
    // Nor a new one on which no request has come yet. (actix-web would after 5 s.)
    .client_request_timeout(Duration::ZERO)
    // Each body is read to its end, so after an answer there is nothing to wait for. (actix-web
    // would wait for 5 s, also when the handler is told to end.)
    .client_disconnect_timeout(Duration::ZERO)
    .bind((Ipv4Addr::LOCALHOST, port))
    .map_err(|error| {
        format!("can't listen on 127.0.0.1:{port} ({error}): give another port in {PORT}")
    })?;
    for address in server.addrs() {
        info!("listening on http://{address}");
    }
    let ended = server.run().await;
    ended.map_err(|error| format!("the server failed: {error}"))
}

fn port() -> Result<u16, String> {
    let Some(value) = env::var_os(PORT) else {
        warn!("{PORT} is not set, so no host has started this program, and no key is checked");
        return Ok(3000); // as in Microsoft's examples
    };
    let value = value.to_string_lossy();
    let port = value.parse();
    port.map_err(|_| format!("{PORT} is {value:?}: give a port from 0 (any free one) to 65535"))
}

/// Answers a request: finds the function that it is for, and has it called.
async fn answer(
    app: Arc<FunctionApp>,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<Answer>, Error> {
    let mut left = Shared::of(&mut request);
    let mut call = Invocation::default();
    let response = match choose(&app, &mut request) {
        Err(status) => Ok(request.into_response(HttpResponse::new(status))),
        Ok(function) => {
            let id = invocation::id(request.headers());
            call = Invocation { id, function };
            let served = AssertUnwindSafe(async { next.call(request).await }).catch_unwind();
            let served = CURRENT.scope(call.clone(), served).await;
            // A panic becomes a 500. Without an answer the host would send a GET again, 40 times.
            served.unwrap_or_else(|_| Err(ErrorInternalServerError("")))
        }
    };
    if let Some(body) = left.take_if(|body| !body.is_lent()) {
        body.read_rest().await;
    }
    Ok(response?.map_body(|_, body| Answer { body, call, left }))
}

/// The function that a request is for, the parameters of whose route it gets: its place among the
/// registered ones. For a request that is for none, the status of the answer.
fn choose(app: &FunctionApp, request: &mut ServiceRequest) -> Result<usize, StatusCode> {
    let path = request.uri().path();
    // The host asks `GET /` until something answers; any answer will do.
    let is_call = || request.headers().contains_key(invocation::HEADER);
    if path == "/" && request.method() == Method::GET && !is_call() {
        return Err(StatusCode::OK);
    }
    if is_rebuilt(request) {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            error!(
                "the host does not pass requests on as they come, so that no function is run: it \
                 needs version 4.1041 or later, which Core Tools have from 4.2.0 on"
            );
        });
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    let found = app.routes.find(request.method().as_str(), path);
    let (index, parameters) = found.ok_or(StatusCode::NOT_FOUND)?;
    let values = request.match_info_mut();
    values.reset();
    for (name, value) in parameters {
        if let Some(value) = value {
            // actix-web decodes it once more.
            values.add_static(name.to_owned(), value.replace('%', "%25"));
        }
    }
    Ok(app.registered[index])
}

/// Whether the host has made another request of the client's, by its signature in the User-Agent: so
/// it does if it knows no proxying. The path of such a request says nothing of the function that the
/// host has chosen.
fn is_rebuilt(request: &ServiceRequest) -> bool {
    const SIGNATURE: &[u8] = b"azure-functions-host/";
    let mut agents = request.headers().get_all(header::USER_AGENT);
    agents.any(|agent| {
        let mut parts = agent.as_bytes().windows(SIGNATURE.len());
        parts.any(|part| part.eq_ignore_ascii_case(SIGNATURE))
    })
}
