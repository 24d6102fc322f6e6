//! What follows when files of the app have changed: a new handler is built and started beside the old
//! one, and takes its place when it answers. If anything fails, that is told, and the app is served as
//! it was.

use std::{collections::BTreeSet, path::PathBuf, time::Instant};

use crate::{
    app::{App, function::Function, watch::Watch},
    host::{Host, Served},
    proxy::Handler,
    worker::{Worker, Workers, build::build},
};

pub struct Reload {
    pub watch: Watch,
    pub release: bool,
    pub host_name: String,
}

impl Reload {
    /// Ends only when the files can't be watched any more, and says why in one line.
    pub async fn run(mut self, host: &Host, workers: &Workers) -> String {
        // What has changed and is not served yet.
        let mut changed = BTreeSet::new();
        let console = &host.console;
        loop {
            match self.watch.changed().await {
                Ok(more) => changed.extend(more),
                Err(problem) => return problem,
            }
            let names: Vec<_> = changed.iter().map(|file| file.to_string_lossy()).collect();
            console.host(&format!("changed: {}", names.join(", ")));
            match self.apply(&changed, host, workers).await {
                Ok(()) => changed.clear(),
                Err(problem) => console.host(&format!("{problem}; the app is served as it was")),
            }
        }
    }

    /// Builds the app as it is now and serves it.
    async fn apply(
        &self,
        changed: &BTreeSet<PathBuf>,
        host: &Host,
        workers: &Workers,
    ) -> Result<(), String> {
        let (begin, console) = (Instant::now(), &host.console);
        let before = host.served();
        let app = App::read(&before.app.root, console)?;
        let built = build(&app, self.release, None).await?;
        let build = begin.elapsed().as_secs_f32();
        // For these Core Tools start the handler again, too (measured).
        let is_json = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "json");
        let is_known = |function: &Function| before.app.has(function);
        let is_same =
            app.functions.len() == before.app.functions.len() && app.functions.iter().all(is_known);
        if built.fresh && !changed.iter().any(is_json) && is_same {
            let line = format!("nothing to do: no new executable after {build:.1} s of building");
            console.host(&line);
            return Ok(());
        }
        let launch = app.launch(built.executable, &self.host_name);
        let (mut worker, gate) = Worker::new(launch, console.clone(), host.limits)?;
        let started = worker.start_once().await;
        started.map_err(|problem| format!("the new handler {problem}"))?;
        let handler = Handler::new(gate, host.limits);
        host.swap(Served { app, handler });
        workers.keep(worker);
        let all = begin.elapsed().as_secs_f32();
        console.host(&format!(
            "built in {build:.1} s, serving the new handler after {all:.1} s"
        ));
        let app = &host.served().app;
        for function in app.functions.iter().filter(|it| !is_known(it)) {
            console.plain(&host.how_to_call(app, function));
        }
        Ok(())
    }
}
