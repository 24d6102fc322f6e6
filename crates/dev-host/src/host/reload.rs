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
        loop {
            match self.watch.changed().await {
                Ok(more) => changed.extend(more),
                Err(problem) => return problem,
            }
            let names: Vec<String> = changed
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            host.console.host(&format!("changed: {}", names.join(", ")));
            match self.apply(&changed, host, workers).await {
                Ok(()) => changed.clear(),
                Err(problem) => host
                    .console
                    .host(&format!("{problem}; the app is served as it was")),
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
        let begin = Instant::now();
        let seconds = || begin.elapsed().as_secs_f32();
        let before = host.served();
        let app = App::read(&before.app.root, &host.console)?;
        let built = build(&app, self.release, None).await?;
        let build = seconds();
        // For these Core Tools start the handler again, too (measured).
        let is_json = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "json");
        let is_known = |function: &Function| before.app.has(function);
        let is_same =
            app.functions.len() == before.app.functions.len() && app.functions.iter().all(is_known);
        if built.fresh && !changed.iter().any(is_json) && is_same {
            host.console.host(&format!(
                "nothing to do: no new executable after {build:.1} s of building"
            ));
            return Ok(());
        }
        let launch = app.launch(built.executable, &self.host_name);
        let (mut worker, gate) = Worker::new(launch, host.console.clone(), host.limits)?;
        let started = worker.start_once().await;
        started.map_err(|problem| format!("the new handler {problem}"))?;
        let handler = Handler::new(gate, host.limits);
        host.swap(Served { app, handler });
        workers.keep(worker);
        host.console.host(&format!(
            "built in {build:.1} s, serving the new handler after {:.1} s",
            seconds()
        ));
        let app = &host.served().app;
        for function in app.functions.iter().filter(|it| !is_known(it)) {
            host.console.plain(&host.how_to_call(app, function));
        }
        Ok(())
    }
}
