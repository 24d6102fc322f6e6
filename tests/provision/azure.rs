//! A loopback stand-in for the part of Azure that `provision.sh` deals with, written for the real
//! Azure CLI, 2.91.0:
//!
//! - Resource Manager, by TLS: resource groups, deployments of `infra/main.json`, the resources that
//!   come of them, role assignments. A deployment creates what the checked-in snapshots of the
//!   template list, with the names that it is given: the app at its end, all else at once. Answers
//!   have the form of recorded ones, by whose numbers they are named here (`forms`); what no
//!   recording shows is named there as not verified;
//! - the deployment site of the function app, for the stand-in of func alone;
//! - the front end of the function app, by TLS, on the port that `defaultHostName` names: it passes
//!   all on to the Functions host;
//! - cloud metadata and tokens, by plain HTTP, so that `az` takes all this for its public cloud.
//!
//! It leaves out: what a template can be besides ours, the rules for names, permissions (any token
//! will do), API versions (all are one, but there must be one), locations, resource providers'
//! registration, more than one function app at a time that is published, and the time that Azure
//! takes. It is harder than Azure may be in one thing: role assignments outlive the account that they
//! are for.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    forms::{self, like},
    http::{Reply, Request, serve},
};

pub const TOKEN: &str = "token-of-the-test-pX7qL";
pub const MASTER_KEY: &str = "master-key-of-the-test-fV0pQ==";

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";
const TEMPLATE: &str = include_str!("../../infra/main.json");
const SNAPSHOTS: [&str; 3] = [
    include_str!("../../infra/identity.snapshot.json"),
    include_str!("../../infra/no-logs.snapshot.json"),
    include_str!("../../infra/storage-keys.snapshot.json"),
];

const NO_GROUP: &str = "27 ResourceGroupNotFound There is no such group.";
const IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

// What the paths of resources are like, behind that of their group.
const DEPLOYMENT: &str = "/providers/microsoft.resources/deployments/{}";
const ASSIGNMENTS: &str = "/providers/microsoft.authorization/roleassignments";
const WORKSPACE: &str = "/providers/microsoft.operationalinsights/workspaces/{}";
const STORAGE: &str = "/providers/microsoft.storage/storageaccounts/{}";
const SITE: &str = "/providers/microsoft.web/sites/{}";

/// So many calls of a kind get this answer. The kind is `METHOD PLACE /part-of-the-path`, with a key
/// behind it if only calls with that key are meant. A place is arm, scm or front.
type Fault = (usize, String, String);

/// How often a deployment is still running when it is asked for; how it ends; the app to create then.
type Deployment = (usize, &'static str, Value);

#[derive(Default)]
pub struct State {
    /// By id in lower case, all resource types together, but for role assignments.
    resources: BTreeMap<String, Value>,
    /// The principals, by the assignments' ids in lower case.
    assignments: BTreeMap<String, usize>,
    /// Stands for the identity that there is.
    principal: Option<usize>,
    deployments: BTreeMap<String, Deployment>,
    /// How often the next deployment is running when it is asked for.
    pub running: usize,
    /// The parameters of the last deployment.
    pub parameters: Value,
    /// All that was asked for: method, place and path.
    pub calls: Vec<String>,
    /// Requests that the stand-in has no answer for, and answers that are not as recorded. There
    /// should be none.
    pub wrong: Vec<String>,
    faults: Vec<Fault>,
    holding: bool,
    /// So many times is the group still there, as Deleting, when it is asked for.
    pub deleting: usize,
    /// Workspaces that were deleted without force: their names are not free.
    pub lost_workspaces: Vec<String>,
    /// What runs what is published.
    pub host: Option<dev_host::Running>,
    /// What is deleted when this is asked for, and the answer.
    operations: BTreeMap<String, (String, &'static str, Value)>,
    default_host_name: String,
    base: String,
}

#[derive(Default)]
pub struct Azure {
    state: Mutex<State>,
    changed: Condvar,
}

impl Azure {
    /// Also gives the port of the server for metadata and tokens.
    pub fn start() -> (Arc<Self>, u16) {
        let azure = Arc::<Self>::default();
        let [arm, front] = ["arm", "front"].map(|place| {
            let azure = Arc::clone(&azure);
            serve(true, move |request| azure.answer(place, &request))
        });
        let base = format!("https://127.0.0.1:{arm}");
        let mut state = azure.state();
        state.base.clone_from(&base);
        state.default_host_name = format!("localhost:{front}");
        drop(state);
        let metadata = serve(false, move |request| {
            let answer = fixed(request.path.trim_start_matches('/')).to_string();
            let answer = answer.replace("TOKEN", TOKEN).replace("BASE", &base);
            Reply::text(200, &answer).with("Content-Type", "application/json")
        });
        (azure, metadata)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, place: &str, request: &Request) -> Reply {
        let mut state = self.state();
        let is_front = place == "front";
        let call = format!("{} {place} {}", request.method, request.path);
        state.calls.push(call.clone());
        let key = request.header("x-functions-key");
        let reply = match state.fault(&call, key).as_deref() {
            Some("hold") => return self.hold(state),
            Some("hang up") => Reply::HangUp,
            Some("silence") => Reply::Silence,
            Some(words) => match words.split(' ').next().unwrap() {
                status if words == status => Reply::status(status.parse().unwrap()),
                "96" => error(words).with("Retry-After", "0"),
                _ => error(words),
            },
            None if is_front => {
                let port = state.host.as_ref().map(|host| host.port());
                // Without the lock: the host may take its time.
                drop(state);
                let answer = port.ok_or(io::ErrorKind::NotConnected.into());
                let answer = answer.and_then(|port| pass_on(port, request));
                // The front ends of Azure answer 502 when the host does not answer.
                return answer.map_or_else(|_| Reply::status(502), Reply::Verbatim);
            }
            None => state.resource_manager(request),
        };
        if !is_front {
            let wrong = forms::differences(request, &reply);
            state.wrong.extend(wrong);
        }
        reply
    }

    /// Keeps a call waiting until `release`.
    fn hold(&self, mut state: MutexGuard<'_, State>) -> Reply {
        state.holding = true;
        self.changed.notify_all();
        let _released = self.changed.wait_while(state, |state| state.holding);
        Reply::HangUp
    }

    /// What becomes of an upload to the deployment site; what func prints if that fails.
    pub fn upload(&self, app: &str) -> Result<(), String> {
        let mut state = self.state();
        match state.fault("POST scm /api/publish", None) {
            Some(words) => {
                if words == "hold" {
                    self.hold(state);
                }
                Err(words)
            }
            None if state.names("Microsoft.Web/sites").contains(&app) => Ok(()),
            None => Err("Can't find app with name".to_owned()),
        }
    }

    /// Waits until a call is being held.
    pub fn await_held(&self) {
        let (limit, state) = (Duration::from_secs(120), self.state());
        let is_free = |state: &mut State| !state.holding;
        let held = self.changed.wait_timeout_while(state, limit, is_free);
        assert!(held.unwrap().0.holding, "there was no such call");
    }

    pub fn release(&self) {
        self.state().holding = false;
        self.changed.notify_all();
    }
}

impl State {
    /// The names of all resources of a type, such as `Microsoft.Web/sites`.
    pub fn names(&self, kind: &str) -> Vec<&str> {
        let resources = self.resources.values().filter(|it| it["type"] == kind);
        resources.map(|it| text(&it["name"])).collect()
    }

    /// The types and names of all that there is in groups.
    pub fn ids(&self) -> Vec<&str> {
        let ids = self.resources.values().map(|it| text(&it["id"]));
        let ids = ids.filter_map(|id| id.split_once("/providers/"));
        ids.map(|(_, id)| id).collect()
    }

    /// All that there is, as far as two runs can give the same.
    pub fn summary(&self) -> Vec<String> {
        let resources = self.resources.values().map(Value::to_string);
        resources.chain(self.assignments.keys().cloned()).collect()
    }

    /// Nothing, at the same places.
    pub fn clear(&mut self) {
        *self = Self {
            default_host_name: self.default_host_name.clone(),
            base: self.base.clone(),
            ..Self::default()
        };
    }

    /// Puts something there that somebody else has made, or an earlier version of the script.
    pub fn insert(&mut self, id: &str, tags: &Value) {
        let properties = json!({"provisioningState": "Succeeded"});
        let resource = json!({"location": "westus2", "tags": tags, "properties": properties});
        self.keep(&format!("{SUBSCRIPTION}/resourceGroups/{id}"), resource);
    }

    /// As a first run leaves it.
    pub fn provision(&mut self, group: &str, parameters: Value) {
        let tags = json!({"created-by": "random-number-provision.sh"});
        self.insert(group, &tags);
        let name = text(&parameters["appName"]).to_owned();
        self.begin(&name, group, parameters);
        self.progress(&name);
    }

    /// As if there had been a deployment of this name, which is running so often and then ends so.
    pub fn deployment_was(&mut self, name: &str, running: usize, state: &'static str) {
        let deployment = (running, state, Value::Null);
        self.deployments.insert(name.to_owned(), deployment);
    }

    fn keep(&mut self, id: &str, mut resource: Value) {
        // /subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME[/TYPE/NAME…]
        let mut segments = id.split('/').skip(6);
        let namespace = segments.next();
        let namespace = namespace.unwrap_or("Microsoft.Resources/resourceGroups");
        let types = segments.step_by(2).map(|part| format!("/{part}"));
        resource["type"] = json!(namespace.to_owned() + &types.collect::<String>());
        resource["id"] = json!(id);
        resource["name"] = json!(id.rsplit('/').next());
        self.resources.insert(id.to_lowercase(), resource);
    }

    /// Takes a resource and all below it away.
    fn remove(&mut self, id: &str) {
        let is_part = |other: &str| format!("{other}/").starts_with(&format!("{id}/"));
        self.resources.retain(|other, _| !is_part(other));
        let has_identity = !self.names(IDENTITY).is_empty();
        let has_site = !self.names("Microsoft.Web/sites").is_empty();
        self.principal.take_if(|_| !has_identity);
        self.host.take_if(|_| !has_site);
    }

    /// Puts faults in the place of those that there are, one a line: how often, of which kind, and
    /// after a `|` the answer: a status, `hang up`, `silence` until the client gives up, `hold` until
    /// the call is released, what func prints, or of an error the recording that it is like, its code
    /// and its message.
    pub fn faults(&mut self, table: &str) {
        self.faults.clear();
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (call, answer) = line.split_once(" | ").expect(line);
            let (times, call) = call.split_once(' ').expect(line);
            let times = times.parse().expect(line);
            self.faults
                .push((times, call.to_owned(), answer.to_owned()));
        }
    }

    /// The answer of the first fault for such a call.
    fn fault(&mut self, made: &str, key: Option<&str>) -> Option<String> {
        let (times, _, answer) = self.faults.iter_mut().find(|(times, call, _)| {
            let words: Vec<&str> = call.split(' ').collect();
            *times > 0
                && made.starts_with(&words[..2].join(" "))
                && words.get(2).is_none_or(|part| made.contains(part))
                && (words.len() < 4 || key == Some(words[3]))
        })?;
        *times -= 1;
        let answer = answer.clone();
        if made.contains("/operationStatuses/") && answer != "hold" {
            self.deployment_was(made.split('/').nth(8).unwrap(), 0, "Failed");
        }
        Some(answer)
    }

    fn resource_manager(&mut self, request: &Request) -> Reply {
        let token = request.header("authorization").unwrap_or_default();
        if token != format!("Bearer {TOKEN}") || !request.query.contains("api-version=") {
            return self.not_known(request);
        }
        if let Some((deletes, form, result)) = self.operations.remove(&request.path) {
            if !deletes.is_empty() {
                self.remove(&deletes);
            }
            return like(form, &result);
        }
        let path = request.path.to_lowercase().replace("%20", " ");
        let kind = forms::kind(&path);
        let group = path.split('/').take(5).collect::<Vec<_>>().join("/");
        if let Some(kind) = kind.strip_prefix("/subscriptions/{}/resourcegroups/{}") {
            return match (self.resources.get(&group), kind) {
                (_, "") => self.group(request, &path),
                (Some(_), _) => self.in_group(request, &path, kind),
                (None, _) => error(NO_GROUP),
            };
        }
        if kind == "/subscriptions/{}/resources" {
            let quote = request.query.replace("%27", "'");
            let group = quote.split('\'').nth(1).unwrap_or_default();
            let prefix = format!("{SUBSCRIPTION}/resourcegroups/{group}/providers/").to_lowercase();
            let mut value: Vec<_> = self.resources.iter().collect();
            // Without those below others.
            value.retain(|(id, _)| id.starts_with(&prefix) && id.split('/').count() == 9);
            let value: Vec<_> = value.iter().map(|(_, resource)| resource).collect();
            like("70", &json!({ "value": value }))
        } else if kind.starts_with("/subscriptions/{}/providers/") {
            Reply::json(200, &fixed("provider")).like("provider-GET")
        } else {
            self.not_known(request)
        }
    }

    /// Only a mistake in the script or in the stand-in leads here.
    fn not_known(&mut self, request: &Request) -> Reply {
        let call = self.calls.last();
        let line = format!("not known: {call:?}, {}", request.path);
        self.wrong.push(line);
        Reply::json(400, &json!({"error": {"code": "NotKnown", "message": "."}})).like("not-known")
    }

    /// Long-running: the answer, of the first form, says where to ask for the end, of the second.
    fn operation(&mut self, forms: [&'static str; 2], path: &str, id: &str, end: Value) -> Reply {
        let path = format!("{SUBSCRIPTION}{path}/{}", self.calls.len());
        let url = format!("{}{path}?api-version=2024-11-01", self.base);
        let operation = (id.to_owned(), forms[1], end);
        self.operations.insert(path, operation);
        // The shortest there is: az takes 0 for no word at all, and then waits for 30 s.
        let reply = like(forms[0], &Value::Null).with("Retry-After", "1");
        let reply = reply.with("Location", url.clone());
        match forms[0] {
            "106" => reply.with("Azure-AsyncOperation", url),
            _ => reply,
        }
    }

    fn group(&mut self, request: &Request, id: &str) -> Reply {
        match (&*request.method, self.resources.get(id).cloned()) {
            ("GET", Some(mut group)) if self.deleting > 0 => {
                self.deleting -= 1;
                if self.deleting == 0 {
                    self.remove(id);
                }
                group["properties"]["provisioningState"] = json!("Deleting");
                Reply::json(200, &group).like("group-GET-deleting")
            }
            ("GET", Some(group)) => like("11", &group),
            ("PUT", _) => {
                let mut group: Value = serde_json::from_slice(&request.body).unwrap();
                group["properties"] = json!({"provisioningState": "Succeeded"});
                let path = request.path.replace("/resourcegroups/", "/resourceGroups/");
                self.keep(&path, group);
                like("10", &self.resources[id])
            }
            ("DELETE", Some(_)) => {
                // Workspaces keep their names, here too.
                let names = self.names("Microsoft.OperationalInsights/workspaces");
                let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
                self.lost_workspaces.extend(names);
                let forms = ["14-group-DELETE-202-2026", "15c"];
                self.operation(forms, "/operationresults", id, Value::Null)
            }
            _ => error(NO_GROUP),
        }
    }

    /// What lies in a group that is there; the kind is what follows the group's name in the path.
    fn in_group(&mut self, request: &Request, id: &str, kind: &str) -> Reply {
        if let Some(kind) = kind.strip_prefix(DEPLOYMENT) {
            return self.deployment(request, kind);
        }
        if let Some((scope, _)) = id.split_once(ASSIGNMENTS) {
            let mut here: Vec<_> = self.assignments.keys().collect();
            here.retain(|other| other.starts_with(id));
            let here = here.into_iter().map(|id| {
                let name = id.rsplit('/').next();
                json!({"id": id, "name": name, "properties": {"scope": scope, "principalId": "any"}})
            });
            let here: Vec<_> = here.collect();
            if request.method == "GET" {
                return like("158", &json!({ "value": here }));
            }
            self.assignments.remove(id);
            return like("150", &here[0]);
        }
        let resource = self.resources.get(id);
        match (&*request.method, kind, &self.host) {
            ("POST", "/providers/microsoft.web/sites/{}/host/{}/listkeys", Some(_)) => {
                let keys = json!({"masterKey": MASTER_KEY, "functionKeys": {"default": "any"}});
                like("60", &keys)
            }
            ("POST", "/providers/microsoft.web/sites/{}/functions/{}/listkeys", Some(host)) => {
                let key = host.function_key(request.path.rsplit('/').nth(1).unwrap());
                Reply::json(200, &json!({"default": key})).like("function-listkeys")
            }
            ("GET", STORAGE | SITE, _) if resource.is_some() => {
                let form = if kind == SITE {
                    "44"
                } else {
                    "21-storage-GET-200"
                };
                like(form, resource.unwrap())
            }
            ("GET", _, _) => error("28 ResourceNotFound There is no such resource."),
            ("DELETE", _, _) => self.delete(request, id, kind),
            _ => self.not_known(request),
        }
    }

    fn delete(&mut self, request: &Request, id: &str, kind: &str) -> Reply {
        let resource = self.resources[id].clone();
        if kind == WORKSPACE && request.query.contains("force=true") {
            let provider = "/providers/Microsoft.OperationalInsights";
            let path = format!("{provider}/locations/westus2/operationstatuses");
            let end = json!({"status": "Succeeded"});
            return self.operation(["106", "107"], &path, id, end);
        }
        if kind == WORKSPACE {
            self.lost_workspaces
                .push(text(&resource["name"]).to_owned());
        }
        self.remove(id);
        // The plan goes along with its last app.
        if let Some(plan) = resource["properties"]["serverFarmId"].as_str() {
            self.remove(&plan.to_lowercase());
        }
        Reply::status(200).like("resource-DELETE")
    }

    /// The kind is what follows the deployment's name in the path.
    fn deployment(&mut self, request: &Request, kind: &str) -> Reply {
        let [group, name] = [4, 8].map(|at| request.path.split('/').nth(at).unwrap());
        let is_known = self.deployments.contains_key(name);
        let body = |state: &str, host: &str| {
            json!({"name": name, "status": state, "properties": {"mode": "Incremental",
                "provisioningState": state, "outputs": {"host": {"type": "String", "value": host}}}})
        };
        match (&*request.method, kind, self.parameters_of(request)) {
            ("POST", "/validate", Some(_)) => like("170", &body("Succeeded", "")),
            ("POST", "/whatif", Some(parameters)) => {
                let changes = resources(&parameters, group).into_iter().map(|resource| {
                    json!({"resourceId": resource["id"], "changeType": "Create", "after": resource})
                });
                let changes = json!({"changes": changes.collect::<Vec<_>>()});
                let result = json!({"status": "Succeeded", "properties": changes});
                self.operation(["183", "181"], "/operationresults", "", result)
            }
            ("PUT", "", Some(parameters)) => {
                self.begin(name, group, parameters);
                let path = request.path.replace("/resourcegroups/", "/resourceGroups/");
                let path = format!("{path}/operationStatuses/1?api-version=2025-04-01");
                let url = format!("{}{path}", self.base);
                let form = if is_known { "174" } else { "171" };
                like(form, &body("Accepted", "")).with("Azure-AsyncOperation", url)
            }
            ("GET", "" | "/operationstatuses/{}", _) if is_known => {
                let state = self.progress(name);
                let form = match (state, kind) {
                    ("Failed" | "Canceled", "") => "177",
                    ("Failed", _) => "206",
                    ("Running", "") => "178",
                    ("Running", _) => "202",
                    (_, "") => "173",
                    _ => "172",
                };
                let mut answer = body(state, &self.default_host_name);
                let details = json!([{"message": "RoleAssignmentUpdateNotPermitted"}]);
                answer["error"] = json!({"code": "DeploymentFailed", "details": details});
                like(form, &answer)
            }
            ("GET", "", _) => {
                let error = json!({"code": "DeploymentNotFound", "message": "There is none."});
                Reply::json(404, &json!({ "error": error })).like("deployment-GET-404")
            }
            _ => self.not_known(request),
        }
    }

    /// The parameters, if this is a deployment of our template. az sends the template's text as it
    /// is, behind a name without quotes.
    fn parameters_of(&self, request: &Request) -> Option<Value> {
        let body = String::from_utf8_lossy(&request.body);
        let template = format!("template:{}", TEMPLATE.trim());
        let rest = body.replacen(&template, "\"template\":{}", 1);
        let sent: Value = serde_json::from_str(&rest).ok()?;
        let parameters = sent["properties"]["parameters"].as_object()?;
        let values = parameters.iter();
        let values = values.map(|(name, it)| (name.clone(), it["value"].clone()));
        Some(values.collect())
    }

    fn begin(&mut self, name: &str, group: &str, parameters: Value) {
        let running = std::mem::take(&mut self.running);
        let mut state = "Succeeded";
        let mut all = resources(&parameters, group);
        let app = all.pop().unwrap();
        for resource in all {
            let id = text(&resource["id"]).to_owned();
            let component = id.split_once("/providers/Microsoft.Insights/components/");
            // Azure adds this minutes later.
            if let Some((group, name)) = component {
                let rule = format!("smartDetectorAlertRules/Failure Anomalies - {name}");
                let rule = format!("{group}/providers/microsoft.alertsmanagement/{rule}");
                self.keep(&rule, json!({"location": "global"}));
            }
            if self.lost_workspaces.iter().any(|name| id.ends_with(name)) {
                self.wrong.push(format!("{id} can't have its name"));
            }
            if id.to_lowercase().contains(ASSIGNMENTS) {
                let principal = *self.principal.get_or_insert(self.calls.len());
                // An assignment that is there can't be given to another identity.
                let assignment = self.assignments.entry(id.to_lowercase());
                if *assignment.or_insert(principal) != principal {
                    state = "Failed";
                }
            } else {
                self.keep(&id, resource);
            }
        }
        self.parameters = parameters;
        self.deployments
            .insert(name.to_owned(), (running, state, app));
    }

    /// The state of a deployment, which gets on each time it is asked for.
    fn progress(&mut self, name: &str) -> &'static str {
        let (running, state, app) = self.deployments.get_mut(name).unwrap();
        if *running > 0 {
            *running -= 1;
            return "Running";
        }
        let (state, mut app) = (*state, app.take());
        if state == "Succeeded" && app.is_object() {
            // As the recorded one says it.
            let storage = &mut app["properties"]["functionAppConfig"]["deployment"]["storage"];
            let authentication = &mut storage["authentication"]["type"];
            *authentication = json!(text(authentication).to_lowercase());
            app["properties"]["defaultHostName"] = json!(self.default_host_name);
            let id = text(&app["id"]).to_owned();
            self.keep(&id, app);
        }
        state
    }
}

/// What the snapshots of the template list, with these names.
fn resources(parameters: &Value, group: &str) -> Vec<Value> {
    let snapshot = match (&parameters["storageKeys"], &parameters["logs"]) {
        (Value::Bool(true), _) => SNAPSHOTS[2],
        (_, Value::Bool(false)) => SNAPSHOTS[1],
        _ => SNAPSHOTS[0],
    };
    let snapshot = snapshot
        .replace("rg-random-number", group)
        .replace("random-number-a042886a3c", text(&parameters["appName"]))
        .replace("randomnumbera042886a3c", text(&parameters["storageName"]));
    let mut snapshot: Value = serde_json::from_str(&snapshot).unwrap();
    let resources = snapshot["predictedResources"].as_array_mut().unwrap();
    for resource in resources.iter_mut().filter(|it| it["location"].is_string()) {
        resource["location"] = parameters["location"].clone();
        resource["tags"] = parameters["tags"].clone();
    }
    std::mem::take(resources)
}

/// The answer of the host to a request that asks it to close the connection.
fn pass_on(port: u16, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "{} {} HTTP/1.1\r\n", request.method, request.path)?;
    for (name, value) in &request.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"connection: close\r\n\r\n")?;
    stream.write_all(&request.body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// What is always the same.
pub fn fixed(name: &str) -> Value {
    serde_json::from_str::<Value>(include_str!("fixed.json")).unwrap()[name].take()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Such as `95 AuthorizationFailed You may not.`: an error as in this recording. Where that has
/// details, code and message stand in them.
fn error(words: &str) -> Reply {
    let (recording, error) = words.split_once(' ').unwrap();
    let (code, message) = error.split_once(' ').unwrap();
    let mut error = json!({"code": code, "message": message});
    if forms::form(recording)["body"]["error"]["details"].is_array() {
        error["details"] = json!([error.clone()]);
        let code = "InvalidTemplateDeployment";
        error = json!({"code": code, "message": ".", "details": [error]});
    }
    let web = json!({"Code": code, "Message": message, "status": "Failed", "error": error});
    like(recording, &web)
}
