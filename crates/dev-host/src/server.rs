//! The host's own server: its connections, and its end.

use std::{
    future::pending,
    net::TcpListener,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, tcp::OwnedWriteHalf},
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    sync::watch,
    task::spawn_local,
    time::{sleep, timeout},
};

use crate::{
    host::{Host, dispatch::dispatch, reload::Reload},
    wire::{
        answer::send,
        message::{Answer, Framing},
        reader::{Body, LONGEST_BODY, Reader},
        request::read_request,
    },
    worker::{Worker, Workers},
};

/// How long Kestrel waits for the next request on a connection, and for the whole of its head.
const KEEP_ALIVE: Duration = Duration::from_secs(130);
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long Kestrel reads a body that nobody wants, to keep the connection.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How long a client that still sends a body has to read why it is not wanted.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Starts the handler, serves it, and stops both. The error says why the host had to end although
/// nobody asked it to.
pub async fn run(
    host: Arc<Host>,
    worker: Option<Worker>,
    reload: Option<Reload>,
    listener: TcpListener,
    stop_on_signals: bool,
    ready: Sender<()>,
) -> Result<(), String> {
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|error| format!("the address can't be listened on: {error}"))?;
    let (workers, mut problems) = Workers::new();
    if let Some(worker) = worker {
        workers.keep(worker);
    }
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let host = Arc::clone(&host);
                    spawn_local(async move { serve(&host, stream).await });
                }
                // Too many open files: some may be closed soon.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let ready = async {
        if host.served().handler.gate.start().await.is_some() {
            let _ = ready.send(());
        }
        pending().await
    };
    let close_idle = async {
        loop {
            sleep(host.limits.idle / 4).await;
            host.served().handler.close_idle();
        }
    };
    let reload = async {
        match reload {
            Some(reload) => reload.run(&host, &workers).await,
            None => pending().await,
        }
    };
    let outcome = tokio::select! {
        // In this order, so that a signal is awaited before there is a handler to end.
        biased;
        asked = asked(host.stopping.subscribe(), stop_on_signals) => asked,
        Some(problem) = problems.recv() => Err(problem),
        problem = reload => Err(problem),
        never = ready => never,
        never = close_idle => never,
        never = accept => never,
    };
    host.console
        .host("stopping, once the requests in flight are answered");
    drop(listener);
    host.stopping.send_replace(true);
    let _ = timeout(host.limits.stop, host.stopping.closed()).await;
    workers.end().await;
    outcome
}

/// Ends when the host is to stop.
async fn asked(mut stopping: watch::Receiver<bool>, on_signals: bool) -> Result<(), String> {
    let terminated = async {
        signal(SignalKind::terminate())?.recv().await;
        Ok(())
    };
    let asked = tokio::select! {
        _ = stopping.wait_for(|stopping| *stopping) => Ok(()),
        interrupted = ctrl_c(), if on_signals => interrupted,
        terminated = terminated, if on_signals => terminated,
    };
    asked.map_err(|error| format!("no signal can be awaited: {error}"))
}

/// Answers the requests of one connection.
async fn serve(host: &Host, stream: TcpStream) {
    // When no connection listens any more, there is none.
    let mut stopping = host.stopping.subscribe();
    let _ = stream.set_nodelay(true);
    let Ok(client) = stream.peer_addr() else {
        return;
    };
    let (read, write) = stream.into_split();
    let mut reader = Reader::new(read);
    loop {
        let begins = tokio::select! {
            biased;
            more = timeout(KEEP_ALIVE, reader.has_more()) => matches!(more, Ok(Ok(true))),
            _ = stopping.wait_for(|stopping| *stopping) => false,
        };
        if !begins {
            return;
        }
        let request = timeout(HEAD_TIME, read_request(&mut reader, client.ip())).await;
        let request = match request.unwrap_or(Err(408)) {
            Ok(request) => request,
            Err(status) => {
                let _ = send(&write, None, Answer::last(status)).await;
                return close(write).await;
            }
        };
        let mut body = Body::new(&request, &mut reader);
        let answered = tokio::select! {
            biased;
            // Measured: "The client shuts its sending side after the request".
            () = gone(write.as_ref()) => return,
            answered = dispatch(host, &request, &mut body, &write) => answered,
        };
        let mut left = body.framing;
        match answered {
            Ok(true) => {}
            Ok(false) if left == Framing::NONE => return,
            Ok(false) => return close(write).await,
            Err(_) => {
                // A reset, so that the client sees that the answer broke off (row "answer: chunked,
                // cut").
                let _ = write.as_ref().set_zero_linger();
                write.forget();
                return;
            }
        }
        let most = reader.received + LONGEST_BODY;
        let drained = async {
            while reader.received < most
                && let Ok(piece) = reader.piece(&mut left).await
            {
                if piece.is_empty() {
                    return true;
                }
            }
            false
        };
        if timeout(DRAIN_TIME, drained).await != Ok(true) {
            return;
        }
    }
}

/// Closes a connection on which the client may still send. Before that the client gets time to read
/// the answer.
async fn close(mut write: OwnedWriteHalf) {
    let _ = write.shutdown().await;
    sleep(LAST_WORDS).await;
}

/// Ends when the client has closed its side.
async fn gone(stream: &TcpStream) {
    while let Ok(1..) = stream.peek(&mut [0]).await {
        sleep(Duration::from_millis(100)).await;
    }
}
