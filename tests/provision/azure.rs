//! A loopback stand-in for the part of Azure that `provision.sh` deals with, written for the real
//! Azure CLI, 2.91.0:
//!
//! - Resource Manager, by TLS: resource groups, deployments of `infra/main.json`, the resources that
//!   come of them, role assignments. A deployment creates what the checked-in snapshots of the
//!   template list, with the names that it is given: the app at its end, all else at once. Answers
//!   have the form of recorded ones, by whose numbers they are named here (`forms`); what no
//!   recording shows is named there as not verified;
//! - the deployment site of the function app, for the stand-in of func alone;
//! - the front end of the function app, by TLS, on the port that `defaultHostName` names: what is
//!   not published yet gets the placeholder page, everything else goes to the Functions host;
//! - cloud metadata and tokens, by plain HTTP, so that `az` takes all this for its public cloud.
//!
//! It leaves out: what a template can be besides ours, the rules for names, permissions (any token
//! will do), API versions (all are one, but there must be one), locations, resource providers'
//! registration, more than one function app at a time that is published, and most of the time that
//! Azure takes. It is harder than Azure may be in one thing: role assignments outlive the account
//! that they are for.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    forms::{self, like},
    http::{Reply, Request, Server, tls},
};

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
/// A JSON web token with the claims that `az login --identity` reads, and no signature:
/// {"alg":"none"} and {"tid":"…aa","oid":"o","sub":"s"}, in base64.
pub const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJ0aWQiOiIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwYWEiLCJvaWQiOiJvIiwic3ViIjoicyIsInhtc19taXJpZCI6Ii9zdWJzY3JpcHRpb25zL3gifQ.";
pub const MASTER_KEY: &str = "master-key-of-the-test-fV0pQ==";

const TEMPLATE: &str = include_str!("../../infra/main.json");
const SNAPSHOTS: [&str; 3] = [
    include_str!("../../infra/identity.snapshot.json"),
    include_str!("../../infra/no-logs.snapshot.json"),
    include_str!("../../infra/storage-keys.snapshot.json"),
];

// What the paths of resources are like, behind that of their group.
const DEPLOYMENT: &str = "/providers/microsoft.resources/deployments/{}";
const ASSIGNMENTS: &str = "/providers/microsoft.authorization/roleassignments";
const WORKSPACE: &str = "/providers/microsoft.operationalinsights/workspaces/{}";
const STORAGE: &str = "/providers/microsoft.storage/storageaccounts/{}";
const SITE: &str = "/providers/microsoft.web/sites/{}";

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: String,
}

/// Calls of this kind get this answer, so many times, or for so long from the first one on. A kind is
/// `METHOD PLACE /part-of-the-path`, a place is arm, scm or front.
pub struct Fault {
    pub call: &'static str,
    /// Only calls with this key. Empty: all.
    pub key: &'static str,
    pub times: usize,
    pub lasts: Duration,
    pub answer: Answer,
    pub first: Option<Instant>,
}

pub enum Answer {
    HangUp,
    /// Nothing, until the client gives up.
    Silence,
    Status(u16),
    /// Like this recording, with this content.
    Like(&'static str, Value),
    /// What func prints.
    Says(&'static str),
}

impl Fault {
    pub fn new(call: &'static str, times: usize, answer: Answer) -> Self {
        Self {
            call,
            key: "",
            times,
            lasts: Duration::ZERO,
            answer,
            first: None,
        }
    }
}

struct Deployment {
    /// How often it is still running when it is asked for.
    running: usize,
    state: &'static str,
    app: Value,
}

#[derive(Default)]
pub struct State {
    /// By id in lower case, all resource types together, but for role assignments.
    resources: BTreeMap<String, Value>,
    /// By id in lower case.
    assignments: BTreeMap<String, usize>,
    /// Stands for the identity that there is.
    principal: Option<usize>,
    deployments: BTreeMap<String, Deployment>,
    /// How often the next deployment is running when it is asked for.
    pub running: usize,
    /// The parameters of the last deployment.
    pub parameters: Value,
    pub calls: Vec<Call>,
    /// Method, path and status of what the app's front end was asked.
    pub front_calls: Vec<Call>,
    /// Requests that the stand-in has no answer for, and answers that are not as recorded. There
    /// should be none.
    pub wrong: Vec<String>,
    /// A call of this kind is kept waiting until `release`.
    held: Option<&'static str>,
    holding: bool,
    pub faults: Vec<Fault>,
    /// So many times is a group still there, as Deleting, when it is asked for after its deletion
    /// has begun.
    pub deleting: usize,
    /// Workspaces that were deleted without force: their names are not free.
    pub lost_workspaces: Vec<String>,
    /// Where the Functions host listens, once something is published.
    pub host_port: Option<u16>,
    /// What is deleted when this is asked for, and the answer.
    operations: BTreeMap<String, (String, &'static str, Value)>,
    default_host_name: String,
    base: String,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub struct Azure {
    shared: Arc<Shared>,
    _resource_manager: Server,
    _front: Server,
    metadata: Server,
}

impl Azure {
    pub fn start() -> Self {
        let server_tls = || Some(Arc::clone(&tls().server));
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let resource_manager = Server::start(server_tls(), {
            let shared = Arc::clone(&shared);
            move |request| shared.resource_manager(&request)
        });
        let front = Server::start(server_tls(), {
            let shared = Arc::clone(&shared);
            move |request| shared.front(&request)
        });
        let base = format!("https://127.0.0.1:{}", resource_manager.port());
        {
            let mut state = shared.state.lock().unwrap();
            state.base.clone_from(&base);
            state.default_host_name = format!("localhost:{}", front.port());
        }
        let metadata = Server::start(None, move |request| {
            let is_token = request.path == "/msi/token";
            let name = if is_token { "token" } else { "metadata" };
            Reply::json(200, &fixed(name, &base))
        });
        Self {
            shared,
            _resource_manager: resource_manager,
            _front: front,
            metadata,
        }
    }

    /// What becomes of an upload to the deployment site.
    ///
    /// # Errors
    ///
    /// What func prints then.
    pub fn upload(&self, app: &str) -> Result<(), &'static str> {
        let request = Request::new("POST", "/api/publish");
        let Some(mut state) = self.shared.unless_held("scm", &request) else {
            return Err("The connection was closed.");
        };
        let site = format!("/sites/{}", app.to_lowercase());
        if let Some(fault) = state.fault("scm", &request)
            && let Answer::Says(words) = fault.answer
        {
            return Err(words);
        }
        let is_there = state.resources.keys().any(|id| id.ends_with(&site));
        is_there.then_some(()).ok_or("Can't find app with name")
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub fn metadata_url(&self) -> String {
        format!("http://127.0.0.1:{}/metadata", self.metadata.port())
    }

    pub fn token_url(&self) -> String {
        format!("http://127.0.0.1:{}/msi/token", self.metadata.port())
    }

    /// Keeps calls of this kind waiting until `release`, and then hangs up without having done
    /// anything.
    pub fn hold(&self, call: &'static str) {
        self.state().held = Some(call);
    }

    /// Waits until a call is being held.
    pub fn await_held(&self, limit: Duration) {
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(self.state(), limit, |state| !state.holding)
            .unwrap();
        assert!(!timeout.timed_out(), "calls so far: {:#?}", state.calls);
    }

    pub fn release(&self) {
        let mut state = self.state();
        state.held = None;
        state.holding = false;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl State {
    /// The names of all resources of a type, such as `Microsoft.Web/sites`.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let names = self.resources.values().filter(|r| r["type"] == kind);
        names.map(|r| text(&r["name"]).to_owned()).collect()
    }

    /// All that there is, as far as two runs can give the same.
    pub fn summary(&self) -> Vec<String> {
        let assignments = self.assignments.keys().cloned();
        let resources = self.resources.values().map(Value::to_string);
        let resources = resources.map(|text| text.replace(&self.default_host_name, "HOST"));
        resources.chain(assignments).collect()
    }

    /// As a first run leaves it.
    pub fn provision(&mut self, group: &str, parameters: Value) {
        let tags = json!({"created-by": "random-number-provision.sh"});
        self.insert(group, json!({"location": "westus2", "tags": tags}));
        let name = text(&parameters["appName"]).to_owned();
        self.begin(&name, &in_subscription(group), parameters);
        self.progress(&name);
    }

    /// As if a deployment of this name had ended like this.
    pub fn end_deployment(&mut self, name: &str, state: &'static str) {
        let (running, app) = (0, Value::Null);
        let deployment = Deployment {
            running,
            state,
            app,
        };
        self.deployments.insert(name.to_owned(), deployment);
    }

    /// The ids of all that there is.
    pub fn ids(&self) -> Vec<&str> {
        self.resources.values().map(|it| text(&it["id"])).collect()
    }

    /// Nothing, at the same places.
    pub fn empty(&self) -> Self {
        Self {
            default_host_name: self.default_host_name.clone(),
            base: self.base.clone(),
            ..Self::default()
        }
    }

    pub fn resource(&self, kind: &str) -> &Value {
        let mut matching = self.resources.values().filter(|r| r["type"] == kind);
        let first = matching.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(matching.next().is_none(), "more than one {kind}");
        first
    }

    /// Puts something there that somebody else has made, or an earlier version of the script.
    pub fn insert(&mut self, id: &str, resource: Value) {
        self.keep(&in_subscription(id), resource);
    }

    fn keep(&mut self, id: &str, mut resource: Value) {
        let mut segments = id.split('/').skip(5);
        let name = id.rsplit('/').next().unwrap();
        resource["id"] = json!(id);
        resource["name"] = json!(name);
        // /subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME[/TYPE/NAME…]
        resource["type"] = match segments.next() {
            None => json!("Microsoft.Resources/resourceGroups"),
            Some(_) => {
                let mut kind = segments.next().unwrap().to_owned();
                kind.extend(segments.step_by(2).map(|part| format!("/{part}")));
                json!(kind)
            }
        };
        self.resources.insert(id.to_lowercase(), resource);
    }

    /// Takes a resource and all below it away.
    fn remove(&mut self, id: &str) {
        let below = format!("{id}/");
        self.resources
            .retain(|other, _| other != id && !other.starts_with(&below));
        let is_gone = |name| id.contains(name) || !id.contains("/providers/");
        self.host_port.take_if(|_| is_gone("/sites/"));
        self.principal
            .take_if(|_| is_gone("/userassignedidentities/"));
    }

    /// Long-running: the answer, of this form, says where to ask for the result.
    fn operation(
        &mut self,
        begun: &'static str,
        path: &str,
        deletes: &str,
        result: (&'static str, Value),
    ) -> Reply {
        let path = format!(
            "/subscriptions/{SUBSCRIPTION}{path}/{}",
            self.operations.len()
        );
        let url = format!("{}{path}?api-version=2024-11-01", self.base);
        let operation = (deletes.to_owned(), result.0, result.1);
        self.operations.insert(path.to_lowercase(), operation);
        let mut reply = like(begun, &Value::Null).with("Location", url.clone());
        if begun.starts_with("106") {
            reply = reply.with("Azure-AsyncOperation", url);
        }
        // The shortest there is: az takes 0 for no word at all, and then waits for 30 s.
        reply.with("Retry-After", "1")
    }

    fn resource_manager(&mut self, request: &Request) -> Reply {
        let token = request.header("authorization").unwrap_or_default();
        if !token.starts_with("Bearer ") || !request.query.contains("api-version=") {
            return refused("There is no bearer token or no api-version.");
        }
        if let Some((deletes, form, result)) = self.operations.get(&request.path.to_lowercase()) {
            let (deletes, reply) = (deletes.clone(), like(form, result));
            if !deletes.is_empty() {
                self.remove(&deletes);
            }
            return reply;
        }
        let kind = forms::kind(&request.path);
        if let Some(kind) = kind.strip_prefix("/subscriptions/{}/resourcegroups/{}") {
            let group = first(5, &request.path);
            return match kind {
                "" => self.group(request),
                _ if !self.resources.contains_key(&group) => no_group(&group),
                _ => self.in_group(request, kind),
            };
        }
        match (&*request.method, &*kind) {
            ("GET", "/subscriptions" | "/tenants") => {
                Reply::json(200, &fixed(&kind[1..], "")).like("subscriptions")
            }
            ("GET", "/subscriptions/{}/resources") => {
                let group = request.query.split("resourceGroup").nth(1);
                let group = group.unwrap_or_default().replace("%27", "'");
                let group = group.split('\'').nth(1).unwrap_or_default();
                self.list(&in_subscription(group))
            }
            ("GET", _) if kind.starts_with("/subscriptions/{}/providers/") => {
                let types = "sites serverFarms storageAccounts components smartDetectorAlertRules \
                             userAssignedIdentities";
                let types = types.split_whitespace();
                let types =
                    types.map(|it| json!({"resourceType": it, "apiVersions": ["2024-01-01"]}));
                let answer = json!({"resourceTypes": types.collect::<Vec<_>>()});
                Reply::json(200, &answer).like("provider-GET")
            }
            _ => self.not_known(request),
        }
    }

    fn not_known(&mut self, request: &Request) -> Reply {
        let line = format!("{} {}?{}", request.method, request.path, request.query);
        self.wrong.push(format!("not known: {line}"));
        refused(&line)
    }

    /// The resources of a group, without those below others.
    fn list(&self, group: &str) -> Reply {
        let prefix = group.to_lowercase() + "/providers/";
        let resources = self.resources.iter().filter(|(id, _)| {
            id.strip_prefix(&prefix)
                .is_some_and(|rest| rest.split('/').count() == 3)
        });
        let value = resources.map(|(_, resource)| resource).collect::<Vec<_>>();
        like("70", &json!({"value": value}))
    }

    fn group(&mut self, request: &Request) -> Reply {
        let id = request.path.to_lowercase();
        let existing = self.resources.get(&id).cloned();
        match (&*request.method, existing) {
            ("GET", Some(group)) if group["properties"]["provisioningState"] == "Deleting" => {
                self.deleting = self.deleting.saturating_sub(1);
                if self.deleting == 0 {
                    self.remove(&id);
                }
                Reply::json(200, &group).like("group-GET-deleting")
            }
            ("GET", Some(group)) => like("11", &group),
            ("GET" | "DELETE", None) => no_group(&id),
            ("PUT", existing) => {
                let mut group = request.json();
                // az may ask again where it got no answer.
                if existing.is_some_and(|existing| existing["tags"] != group["tags"]) {
                    self.wrong.push("the group's tags are changed".to_owned());
                }
                group["properties"] = json!({"provisioningState": "Succeeded"});
                let path = request.path.replace("/resourcegroups/", "/resourceGroups/");
                self.keep(&path, group);
                like("10", &self.resources[&id])
            }
            ("DELETE", Some(_)) => {
                // Workspaces keep their names, here too.
                let below = format!("{id}/providers/microsoft.operationalinsights/");
                let ids = self.resources.keys().filter(|it| it.starts_with(&below));
                self.lost_workspaces.extend(ids.cloned());
                self.start_deleting(request.path.rsplit('/').next().unwrap());
                let done = ("15c", Value::Null);
                self.operation("14-group-DELETE-202-2026", "/operationresults", &id, done)
            }
            _ => self.not_known(request),
        }
    }

    pub fn start_deleting(&mut self, group: &str) {
        let id = in_subscription(group).to_lowercase();
        let group = self.resources.get_mut(&id).expect("a group");
        group["properties"]["provisioningState"] = json!("Deleting");
    }

    /// What lies in a group that is there; the kind is what follows the group's name in the path.
    fn in_group(&mut self, request: &Request, kind: &str) -> Reply {
        let id = request.path.to_lowercase().replace("%20", " ");
        if kind.starts_with(DEPLOYMENT) {
            return self.deployment(request, &kind[DEPLOYMENT.len()..]);
        }
        if let Some((scope, name)) = id.split_once(ASSIGNMENTS) {
            return self.role_assignments(request, scope, name);
        }
        match (&*request.method, kind) {
            ("POST", "/providers/microsoft.web/sites/{}/host/{}/listkeys") => {
                if self.host_port.is_none() {
                    let message = "Encountered an error (ServiceUnavailable) from host runtime.";
                    return error("62", "BadRequest", message);
                }
                let keys = json!({"masterKey": MASTER_KEY, "functionKeys": {"default": "any"}});
                like("60", &keys)
            }
            ("POST", "/providers/microsoft.web/sites/{}/functions/{}/listkeys") => {
                let function = request.path.rsplit('/').nth(1).unwrap();
                let keys = self.host_port.and_then(|port| keys_of(function, port).ok());
                keys.map_or_else(
                    || refused("The host does not answer."),
                    |keys| Reply::json(200, &keys).like("function-listkeys"),
                )
            }
            ("GET", _) => match (self.resources.get(&id), kind) {
                (Some(resource), STORAGE) => like("21-storage-GET-200", resource),
                (Some(resource), SITE) => like("44", resource),
                (Some(_), _) => self.not_known(request),
                (None, _) => not_found(request),
            },
            ("DELETE", _) => self.delete(request, kind, &id),
            _ => self.not_known(request),
        }
    }

    fn role_assignments(&mut self, request: &Request, scope: &str, name: &str) -> Reply {
        let id = format!("{scope}{ASSIGNMENTS}{name}");
        match &*request.method {
            "GET" if name.is_empty() => {
                let all = self.assignments.iter();
                let here = all.filter(|(other, _)| other.starts_with(&id));
                let value = here.map(|(id, principal)| {
                    json!({"id": id, "name": id.rsplit('/').next(), "properties": {
                        "scope": scope, "principalId": principal, "roleDefinitionId": "any"}})
                });
                like("158", &json!({"value": value.collect::<Vec<_>>()}))
            }
            "DELETE" if self.assignments.remove(&id).is_some() => like("150", &json!({"id": id})),
            _ => self.not_known(request),
        }
    }

    /// The kind is what follows the deployment's name in the path.
    fn deployment(&mut self, request: &Request, kind: &str) -> Reply {
        let name = request.path.split('/').nth(8).unwrap();
        let group = first(5, &request.path);
        let is_known = self.deployments.contains_key(name);
        let body = |state: &str, host: &str| {
            json!({"name": name, "properties": {"mode": "Incremental",
                "provisioningState": state, "outputs": {"host": {"type": "String", "value": host}}}})
        };
        match (&*request.method, kind) {
            ("POST", "/validate") => match self.parameters_of(request) {
                Some(_) => like("170", &body("Succeeded", "")),
                None => refused("That is not infra/main.json, or not with its parameters."),
            },
            ("POST", "/whatif") => {
                let parameters = self.parameters_of(request).unwrap_or_default();
                let changes = resources(&parameters, &group).into_iter().map(|resource| {
                    json!({"resourceId": resource["id"], "changeType": "Create", "after": resource})
                });
                let changes = json!({"changes": changes.collect::<Vec<_>>()});
                let result = json!({"status": "Succeeded", "properties": changes});
                self.operation("183", "/operationresults", "", ("181", result))
            }
            ("PUT", "") => {
                let parameters = self.parameters_of(request).unwrap_or_default();
                self.begin(name, &group, parameters);
                let path = request.path.replace("/resourcegroups/", "/resourceGroups/");
                let url = format!(
                    "{}{path}/operationStatuses/1?api-version=2025-04-01",
                    self.base
                );
                let form = if is_known { "174" } else { "171" };
                like(form, &body("Accepted", "")).with("Azure-AsyncOperation", url)
            }
            ("GET", "" | "/operationstatuses/{}") if is_known => {
                let state = self.progress(name);
                let form = match (state, kind) {
                    ("Failed" | "Canceled", "") => "177",
                    ("Failed", _) => {
                        let details = json!([{"code": "BadRequest", "message": "{\"code\": \
                            \"RoleAssignmentUpdateNotPermitted\"}"}]);
                        let error = json!({"code": "DeploymentFailed", "details": details});
                        return like("206", &json!({"status": "Failed", "error": error}));
                    }
                    ("Running", "") => "178",
                    ("Running", _) => "202",
                    (_, "") => "173",
                    _ => "172",
                };
                let mut answer = body(state, &self.default_host_name);
                answer["status"] = json!(state);
                like(form, &answer)
            }
            ("GET", "") => {
                let message = format!("Deployment '{name}' could not be found.");
                let error = json!({"code": "DeploymentNotFound", "message": message});
                Reply::json(404, &json!({ "error": error })).like("deployment-GET-404")
            }
            _ => self.not_known(request),
        }
    }

    /// The parameters, if this is a deployment of our template. az sends the template's text as it
    /// is, behind a name without quotes.
    fn parameters_of(&mut self, request: &Request) -> Option<Value> {
        let body = String::from_utf8_lossy(&request.body);
        let rest = body.replacen(
            &format!("template:{}", TEMPLATE.trim()),
            "\"template\":{}",
            1,
        );
        let sent: Value = serde_json::from_str(&rest).ok()?;
        let declared: Value = serde_json::from_str(TEMPLATE).unwrap();
        let parameters = sent["properties"]["parameters"].as_object()?;
        let is_declared = |name: &String| declared["parameters"][name].is_object();
        let values = parameters
            .iter()
            .map(|(name, it)| (name.clone(), it["value"].clone()));
        (parameters.keys().all(is_declared) && sent["properties"]["mode"] == "Incremental")
            .then(|| values.collect())
    }

    fn begin(&mut self, name: &str, group: &str, parameters: Value) {
        let mut deployment = Deployment {
            running: std::mem::take(&mut self.running),
            state: "Succeeded",
            app: Value::Null,
        };
        for resource in resources(&parameters, group) {
            let id = text(&resource["id"]).to_owned();
            let lower = id.to_lowercase();
            if lower.contains(ASSIGNMENTS) {
                // Of the identity that there is now.
                let principal = *self.principal.get_or_insert(self.calls.len());
                if *self.assignments.entry(lower).or_insert(principal) != principal {
                    deployment.state = "Failed";
                    break;
                }
                continue;
            }
            if lower.contains("/workspaces/") && self.lost_workspaces.contains(&lower) {
                self.wrong
                    .push("a deleted workspace keeps its name for 14 days".to_owned());
            }
            if lower.contains("/components/") {
                // Azure adds these minutes later.
                let (group, name) = id
                    .split_once("/providers/Microsoft.Insights/components/")
                    .unwrap();
                let rule = format!("smartDetectorAlertRules/Failure Anomalies - {name}");
                let rule = format!("{group}/providers/microsoft.alertsmanagement/{rule}");
                self.keep(&rule, json!({"location": "global"}));
            }
            if lower.contains("/sites/") {
                deployment.app = resource;
            } else {
                self.keep(&id, resource);
            }
        }
        self.parameters = parameters;
        self.deployments.insert(name.to_owned(), deployment);
    }

    /// The state of a deployment, which gets on each time it is asked for.
    fn progress(&mut self, name: &str) -> &'static str {
        let deployment = self.deployments.get_mut(name).unwrap();
        if deployment.running > 0 {
            deployment.running -= 1;
            return "Running";
        }
        let state = deployment.state;
        let mut app = deployment.app.take();
        if state == "Succeeded" && app.is_object() {
            // As the recorded one says it.
            let storage = &mut app["properties"]["functionAppConfig"]["deployment"]["storage"];
            let authentication = &mut storage["authentication"]["type"];
            *authentication = json!(text(authentication).to_lowercase());
            app["properties"]["state"] = json!("Running");
            app["properties"]["defaultHostName"] = json!(self.default_host_name);
            let id = text(&app["id"]).to_owned();
            self.keep(&id, app);
        }
        state
    }

    fn delete(&mut self, request: &Request, kind: &str, id: &str) -> Reply {
        let plan = &self.resources.get(id).unwrap_or(&Value::Null)["properties"]["serverFarmId"];
        let plan = text(plan).to_lowercase();
        if !self.resources.contains_key(id) {
            return Reply::status(204).like(if kind == SITE { "48" } else { "missing-DELETE" });
        }
        if kind == WORKSPACE && request.query.contains("force=true") {
            let result = json!({"status": "Succeeded"});
            let path =
                "/providers/Microsoft.OperationalInsights/locations/westus2/operationstatuses";
            return self.operation("106", path, id, ("107", result));
        }
        self.remove(id);
        match kind {
            WORKSPACE => {
                self.lost_workspaces.push(id.to_owned());
                like("110", &Value::Null)
            }
            SITE => {
                // The plan goes along with its last app.
                self.resources.remove(&plan);
                like("46", &Value::Null)
            }
            "/providers/microsoft.insights/components/{}" => like("124", &Value::Null),
            _ => Reply::status(200).like("resource-DELETE"),
        }
    }

    /// The first fault for a call at this place, if there is one.
    fn fault(&mut self, place: &str, request: &Request) -> Option<&Fault> {
        let key = request.header("x-functions-key");
        let mut faults = self.faults.iter_mut();
        let fault = faults.find_map(|fault| {
            let is_meant = is_of(fault.call, place, request)
                && (fault.key.is_empty() || Some(fault.key) == key);
            let goes_on = is_meant
                && (fault.times > 0
                    || fault.first.get_or_insert_with(Instant::now).elapsed() < fault.lasts);
            goes_on.then_some(fault)
        })?;
        fault.times = fault.times.saturating_sub(1);
        Some(fault)
    }

    fn answer(&mut self, place: &str, request: &Request) -> Option<Reply> {
        let reply = match &self.fault(place, request)?.answer {
            Answer::Silence => Reply::Silence,
            Answer::Status(status) => Reply::status(*status),
            Answer::Like("98", content) => {
                like("98", content).with("WWW-Authenticate", "Bearer error=\"invalid_token\"")
            }
            Answer::Like("96", content) => like("96", content).with("Retry-After", "0"),
            Answer::Like(recording, content) => like(recording, content),
            Answer::HangUp | Answer::Says(_) => Reply::HangUp,
        };
        if request.path.contains("/operationStatuses/") {
            self.end_deployment(request.path.split('/').nth(8).unwrap(), "Failed");
        }
        Some(reply)
    }

    /// What the app's front end answers by itself, or the port of the host that it asks.
    fn front(&mut self, request: &Request) -> Result<u16, Reply> {
        if self.names("Microsoft.Web/sites").is_empty() {
            return Err(Reply::HangUp);
        }
        if let Some(reply) = self.answer("front", request) {
            return Err(reply);
        }
        self.host_port.ok_or_else(|| match request.path.as_str() {
            "/" => Reply::text(200, "Your Azure Function App is up and running."),
            _ => Reply::status(404),
        })
    }
}

/// What the snapshots of the template list, with these names.
fn resources(parameters: &Value, group: &str) -> Vec<Value> {
    let is = |name| parameters[name] == true;
    let snapshot = match (is("storageKeys"), is("logs")) {
        (false, true) => SNAPSHOTS[0],
        (false, false) => SNAPSHOTS[1],
        (true, _) => SNAPSHOTS[2],
    };
    let group = group.rsplit('/').next().unwrap();
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
    let app = resources.last_mut().unwrap();
    let config = &mut app["properties"]["functionAppConfig"];
    config["scaleAndConcurrency"]["instanceMemoryMB"] = parameters["memory"].clone();
    resources.drain(..).collect()
}

impl Shared {
    /// The state, unless this call is one that is held; then none, once it is released.
    fn unless_held(&self, place: &str, request: &Request) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state.lock().unwrap();
        let is_held = |state: &State| state.held.is_some_and(|call| is_of(call, place, request));
        if !is_held(&state) {
            return Some(state);
        }
        state.holding = true;
        self.changed.notify_all();
        let _released = self.changed.wait_while(state, |state| is_held(state));
        None
    }

    fn resource_manager(&self, request: &Request) -> Reply {
        let Some(mut state) = self.unless_held("arm", request) else {
            return Reply::HangUp;
        };
        let reply = state.answer("arm", request);
        let reply = reply.unwrap_or_else(|| state.resource_manager(request));
        let wrong = forms::differences(request, &reply);
        state.wrong.extend(wrong);
        state.calls.push(request.into());
        reply
    }

    fn front(&self, request: &Request) -> Reply {
        let Some(mut state) = self.unless_held("front", request) else {
            return Reply::HangUp;
        };
        state.front_calls.push(request.into());
        let next = state.front(request);
        drop(state);
        // Without the lock: the host may take its time. The front ends of Azure answer 502 when the
        // host does not answer.
        let reply = next.map_or_else(
            |reply| reply,
            |port| pass_on(port, request).map_or_else(|_| Reply::status(502), Reply::Verbatim),
        );
        reply
    }
}

impl From<&Request> for Call {
    fn from(request: &Request) -> Self {
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
        }
    }
}

/// Whether a request is of a kind such as `GET arm /sites/`.
fn is_of(call: &str, place: &str, request: &Request) -> bool {
    let mut words = call.splitn(3, ' ');
    words.next() == Some(&request.method)
        && words.next() == Some(place)
        && words.next().is_none_or(|part| request.path.contains(part))
}

/// The answer of the host to a request that asks it to close the connection.
fn pass_on(port: u16, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let separator = if request.query.is_empty() { "" } else { "?" };
    let (path, query) = (&request.path, &request.query);
    write!(
        stream,
        "{} {path}{separator}{query} HTTP/1.1\r\n",
        request.method
    )?;
    for (name, value) in &request.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"connection: close\r\n\r\n")?;
    stream.write_all(&request.body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What only a mistake in the script or in the stand-in brings about.
fn refused(message: &str) -> Reply {
    let error = json!({"code": "RefusedByTheStandIn", "message": message});
    Reply::json(400, &json!({ "error": error })).like("refused-by-the-stand-in")
}

/// A refusal of this form: by Resource Manager itself, or by Microsoft.Web.
fn error(recording: &'static str, code: &str, message: &str) -> Reply {
    let error = json!({"code": code, "message": message});
    like(
        recording,
        &json!({"error": error, "Code": code, "Message": message}),
    )
}

fn no_group(id: &str) -> Reply {
    let name = id.rsplit('/').next().unwrap();
    let message = format!("Resource group '{name}' could not be found.");
    error("27", "ResourceGroupNotFound", &message)
}

fn not_found(request: &Request) -> Reply {
    let message = format!("The Resource '{}' was not found.", request.path);
    error("28", "ResourceNotFound", &message)
}

/// The id of a resource group, or of what lies in one.
fn in_subscription(path: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{path}")
}

/// So many segments of a path, in lower case.
fn first(segments: usize, path: &str) -> String {
    let segments = path.split('/').take(segments);
    segments.collect::<Vec<_>>().join("/").to_lowercase()
}

/// The keys of a function, which Resource Manager has from the host.
fn keys_of(function: &str, port: u16) -> Result<Value, ureq::Error> {
    let url = format!("http://127.0.0.1:{port}/admin/functions/{function}/keys");
    let mut answer = ureq::get(url)
        .header("x-functions-key", MASTER_KEY)
        .call()?;
    let answer: Value = serde_json::from_slice(&answer.body_mut().read_to_vec()?).unwrap();
    let keys = answer["keys"].as_array().into_iter().flatten();
    Ok(keys
        .map(|key| (text(&key["name"]).to_owned(), key["value"].clone()))
        .collect())
}

/// An answer that is always the same, out of `fixed.json`. All places of the cloud are ours: whatever
/// az asks there that the stand-in does not know fails on loopback.
fn fixed(name: &str, base: &str) -> Value {
    let all = include_str!("fixed.json")
        .replace("SUBSCRIPTION", SUBSCRIPTION)
        .replace("TOKEN", TOKEN)
        .replace("BASE", base);
    let mut all: Value = serde_json::from_str(&all).unwrap();
    all[name].take()
}
