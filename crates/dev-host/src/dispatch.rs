//! From a request to its answer: which part of the host it is for, and if its key opens that.

use std::time::Instant;

use routes::Level;

use crate::{
    admin,
    answer::Answer,
    app::App,
    forward::Forwarder,
    function::Function,
    host::Host,
    request::{Body, LONGEST_BODY, Request},
};

pub async fn dispatch(
    host: &Host,
    forwarder: &Forwarder,
    request: &Request,
    body: &mut Body<'_>,
) -> Answer {
    let start = Instant::now();
    let app = host.app();
    let mut answer = match own_answer(host, &app, request, body).await {
        Ok(answer) => answer,
        Err(function) => {
            let answer = forwarder.forward(&app.host_json, request, body).await;
            if answer.status == 404 {
                function.hint.call_once(|| hint(host, function));
            }
            answer
        }
    };
    for (name, value) in &app.host_json.custom_headers {
        answer.headers.set(name, value);
    }
    // The query is left out: it can hold a key.
    host.console.host(&format!(
        "{} {} {} {:.1} ms",
        request.method,
        request.path.escape_debug(),
        answer.status,
        start.elapsed().as_secs_f64() * 1000.0
    ));
    answer
}

/// The answer of the host itself, or else the function whose handler has to be asked.
async fn own_answer<'a>(
    host: &Host,
    app: &'a App,
    request: &Request,
    body: &mut Body<'_>,
) -> Result<Answer, &'a Function> {
    if request.path == "/" {
        let page = "<!DOCTYPE html>\n<title>dev-host</title>\n\
                    <p>The function app is up and running.\n";
        return Ok(Answer::text(200, "text/html", page));
    }
    if let Some(answer) = admin::admin(host, app, request, body).await {
        return Ok(answer);
    }
    let Some((function, _)) = app.find(&request.method, &request.path) else {
        return Ok(Answer::empty(404));
    };
    let grant = host.grant(request, Some(&function.name));
    if !grant.satisfies(function.level) {
        return Ok(Answer::empty(401));
    }
    if function.disabled && !grant.satisfies(Level::Admin) {
        // After the key: who has none doesn't learn that a function is disabled.
        return Ok(Answer::empty(404));
    }
    // Row "header: empty host".
    if request.host().is_empty() {
        return Ok(Answer::empty(500));
    }
    // Row "body: 104857601".
    if request.length().is_some_and(|length| length > LONGEST_BODY) {
        return Ok(Answer::last(500));
    }
    Err(function)
}

/// A handler that knows a function by another path is the usual reason for a 404 that only the
/// handler can have given.
fn hint(host: &Host, function: &Function) {
    host.console.host(&format!(
        "{}: the handler answered 404 to what the host routed to it: does it serve /{}?",
        function.name, function.route
    ));
}
