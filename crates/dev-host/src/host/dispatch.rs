//! From a request to its answer: which part of the host it is for, and if its key opens that.

use std::{io, time::Instant};

use routes::Level;
use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    app::{App, function::Function},
    host::{Host, admin::admin},
    proxy::Call,
    wire::{
        answer::{send, stream},
        message::{Answer, Request},
        reader::{Body, LONGEST_BODY},
    },
};

const HOME_PAGE: &str =
    "<!DOCTYPE html>\n<title>dev-host</title>\n<p>The function app is up and running.\n";

/// Answers a request. False if the connection is to be closed.
pub async fn dispatch(
    host: &Host,
    request: &Request,
    body: &mut Body<'_>,
    client: &OwnedWriteHalf,
) -> io::Result<bool> {
    let begin = Instant::now();
    let served = host.served();
    let app = &served.app;
    let complete = |mut answer: Answer| {
        answer.closes |= !request.stays_open || *host.stopping.borrow();
        for (name, value) in &app.host_json.custom_headers {
            answer.headers.set(name, value);
        }
        // The query is left out: it can hold a key.
        host.console.host(&format!(
            "{} {} {} {:.1} ms",
            request.method,
            request.path.escape_debug(),
            answer.status,
            begin.elapsed().as_secs_f64() * 1000.0
        ));
        answer
    };
    let function = match own_answer(host, app, request, body).await {
        Ok(answer) => return send(client, Some(request), complete(answer)).await,
        Err(function) => function,
    };
    // When it is the call's turn, it is passed on.
    let Some(permit) = app.host_json.throttle.permit().await else {
        return send(client, Some(request), complete(Answer::empty(429))).await;
    };
    let mut call = Call::new(&served.handler, request);
    let answered = permit.in_time(call.ask(body)).await;
    if answered.is_none() {
        call.restart_handler();
    }
    let Some((answer, mut connection)) = answered.flatten() else {
        return send(client, Some(request), complete(Answer::empty(500))).await;
    };
    if answer.status == 404 {
        // A handler that knows the function by another path is the usual reason.
        function.hint.call_once(|| {
            host.console.host(&format!(
                "{}: the handler answered 404 to what the host routed to it: does it serve /{}, and \
                 does it take its parameters?",
                function.name, function.route
            ));
        });
    }
    let answer = complete(answer);
    let inactivity = host.limits.inactivity;
    let passed = async {
        if answer.status == 101 {
            send(client, Some(request), answer).await?;
            connection.tunnel(body.reader, client, inactivity).await;
            return Ok(false);
        }
        let pieces = async || connection.piece().await;
        let stays_open = stream(client, Some(request), answer, inactivity, pieces).await?;
        served.handler.keep(connection);
        Ok(stays_open)
    };
    permit.in_time(passed).await.unwrap_or_else(|| {
        call.restart_handler();
        Err(io::ErrorKind::TimedOut.into())
    })
}

/// The answer of the host itself, or else the function whose handler has to be asked.
async fn own_answer<'a>(
    host: &Host,
    app: &'a App,
    request: &Request,
    body: &mut Body<'_>,
) -> Result<Answer, &'a Function> {
    if let Some(answer) = admin(&host.access, app, host.start.elapsed(), request, body).await {
        return Ok(answer);
    }
    let Some((function, _)) = app.find(&request.method, &request.path) else {
        // Functions go first, such as `{*path}` without a prefix (by the host's source, not verified).
        return Ok(match request.path.as_str() {
            "/" => Answer::text(200, "text/html", HOME_PAGE),
            _ => Answer::empty(404),
        });
    };
    let grant = host.access.grant(request, Some(&function.name));
    if grant < function.level {
        return Ok(Answer::empty(401));
    }
    if function.disabled && grant < Level::Admin {
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
