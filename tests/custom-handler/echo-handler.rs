//! The handler of the tests. What a function does follows from its name; most of them say which
//! function they are, and with which parameters.

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{DefaultHeaders, Next, from_fn},
    rt::{spawn, time::sleep},
    web::{self, Bytes, Data, Json, Payload},
};
use custom_handler::Functions;
use futures_util::stream::poll_fn;
use log::info;
use serde::Deserialize;
use serde_json::{Value, json};

#[actix_web::main]
async fn main() -> ExitCode {
    let (names, counter) = (names(), Data::new(AtomicU64::new(0)));
    custom_handler::run(&[env!("CARGO_CRATE_NAME"), "azure"], move |functions| {
        functions.app_data(counter.clone());
        functions.wrap(DefaultHeaders::new().add(("x-all", "yes")));
        for name in &names {
            add(functions, name.clone());
        }
    })
    .await
}

/// Those in the variable REGISTER, or else the folders of the app.
fn names() -> Vec<String> {
    if let Ok(names) = env::var("REGISTER") {
        return names.split_whitespace().map(str::to_owned).collect();
    }
    let entries = fs::read_dir(".").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| Path::new(name).is_dir()).collect()
}

fn add(functions: &mut Functions, name: String) {
    match &*name {
        "Panic" => functions.add(&name, panics),
        "Stream" => functions.add(&name, streams_back),
        "Unread" => functions.add(&name, streams_and_reads_nothing),
        "Length" => functions.add(&name, async |body: Bytes| body.len().to_string()),
        "Wait" => functions.add(&name, waits),
        "Log" => functions.add(&name, logs),
        "Count" => functions.route(&name, web::to(counts).wrap(from_fn(marked))),
        "Struct" => functions.add(&name, async |path: web::Path<Parts>| format!("{path:?}")),
        "Tuple" => functions.add(&name, async |path: web::Path<(String, u16)>| {
            format!("{:?}", path.into_inner())
        }),
        _ => functions.add(
            &name.clone(),
            move |request: HttpRequest, values: web::Path<Vec<String>>| {
                let names = request.match_info().iter().map(|(name, _)| name.to_owned());
                let params: HashMap<_, _> = names.zip(values.into_inner()).collect();
                let answer = json!({"function": name, "params": params});
                async { Json(answer) }
            },
        ),
    }
}

/// With what it was sent.
async fn panics(body: Json<Value>) -> String {
    panic!("warnings\nfor all: {body}")
}

async fn streams_back(body: Payload) -> HttpResponse {
    HttpResponse::Ok().streaming(body)
}

/// The answer has the request's body as long as it is not sent.
async fn streams_and_reads_nothing(body: Payload) -> HttpResponse {
    let mut pieces = [Some("abc"), Some("def"), None].into_iter();
    HttpResponse::Ok().streaming(poll_fn(move |_| {
        let _unread = &body;
        let piece = pieces.next().expect("not polled after its end");
        Poll::Ready(piece.map(|piece| Ok::<_, Error>(Bytes::from(piece))))
    }))
}

/// Until there is a file `go`.
async fn waits() -> &'static str {
    while !Path::new("go").exists() {
        sleep(Duration::from_millis(5)).await;
    }
    "gone"
}

async fn logs() -> HttpResponse {
    info!("first");
    later().await;
    info!(target: "elsewhere", "with a target");
    let is_logged = spawn(async { info!("spawned") });
    is_logged.await.unwrap();
    azure_core::log("of a dependency");
    let mut is_over = false;
    HttpResponse::Ok().streaming(poll_fn(move |_| {
        info!("streams");
        let piece = (!is_over).then(|| Ok::<_, Error>(Bytes::from("x")));
        is_over = true;
        Poll::Ready(piece)
    }))
}

async fn later() {
    sleep(Duration::from_millis(1)).await;
    info!("later");
}

/// As a crate of this name would log.
mod azure_core {
    use log::{Level, Record};

    pub fn log(text: &str) {
        for level in [Level::Info, Level::Warn] {
            log::logger().log(
                &Record::builder()
                    .level(level)
                    .module_path(Some("azure_core::http"))
                    .args(format_args!("{text}"))
                    .build(),
            );
        }
    }
}

async fn counts(counter: Data<AtomicU64>) -> String {
    counter.fetch_add(1, Relaxed).to_string()
}

async fn marked(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let name = "x-one".parse().unwrap();
    response.headers_mut().insert(name, "yes".parse().unwrap());
    Ok(response)
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "they are printed")]
struct Parts {
    a: String,
    b: Option<String>,
}
