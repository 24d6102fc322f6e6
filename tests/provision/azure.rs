//! A loopback stand-in for the part of Azure that `provision.sh` deals with, written for the real
//! Azure CLI, 2.91.0:
//!
//! - Resource Manager, by TLS: resource groups, storage accounts and their containers, plans,
//!   function apps, Log Analytics workspaces and Application Insights components. Its answers have
//!   the form of recorded ones, by whose numbers they are named here (`forms`); what no recording
//!   shows is named there as not verified. An error is the answer to: a name that is taken, a parent
//!   that is not there, the deletion of a plan with an app;
//! - the deployment site of the function app, for the stand-in of func alone;
//! - the front end of the function app, by TLS, on the port that `defaultHostName` names: what is
//!   not published yet gets the placeholder page, everything else goes to the Functions host;
//! - cloud metadata and tokens, by plain HTTP, so that `az` takes all this for its public cloud.
//!
//! It leaves out: the rules for names, permissions (any token will do), API versions (all are one,
//! but there must be one), locations other than three, resource providers' registration, all
//! resource types and properties that the script doesn't touch, more than one function app at a time
//! that is published, and most of the time that Azure takes: an operation is over when it is first
//! asked after.

use std::{
    collections::{BTreeMap, BTreeSet},
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
pub const STORAGE_KEY: &str = "c3RvcmFnZS1rZXktb2YtdGhlLXRlc3Q=";
pub const CONNECTION_STRING: &str = "InstrumentationKey=key-of-the-test-aQ9z;ApplicationId=a";
/// A JSON web token with the claims that `az login --identity` reads, and no signature:
/// {"alg":"none"} and {"tid":"…aa","oid":"o","sub":"s"}, in base64.
pub const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJ0aWQiOiIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwYWEiLCJvaWQiOiJvIiwic3ViIjoicyIsInhtc19taXJpZCI6Ii9zdWJzY3JpcHRpb25zL3gifQ.";
pub const MASTER_KEY: &str = "master-key-of-the-test-fV0pQ==";

/// The last one has no Functions.
const LOCATIONS: [(&str, &str); 3] = [
    ("westus2", "West US 2"),
    ("northeurope", "North Europe"),
    ("germanynorth", "Germany North"),
];

// What the paths of resources are like, behind that of their group.
const STORAGE: &str = "/providers/microsoft.storage/storageaccounts/{}";
const CONTAINER: &str =
    "/providers/microsoft.storage/storageaccounts/{}/blobservices/{}/containers/{}";
const WORKSPACE: &str = "/providers/microsoft.operationalinsights/workspaces/{}";
const COMPONENT: &str = "/providers/microsoft.insights/components/{}";
const PLAN: &str = "/providers/microsoft.web/serverfarms/{}";
const SITE: &str = "/providers/microsoft.web/sites/{}";

/// A call of Resource Manager, as it was answered.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    /// None: the connection was dropped.
    pub status: Option<u16>,
}

impl Call {
    pub fn changes_something(&self) -> bool {
        // All that is asked by POST only asks.
        !["GET", "HEAD", "POST"].contains(&&*self.method)
    }
}

/// What the app's front end answers, this many times, to calls of this method with this in their
/// path, in place of passing them on.
pub struct FrontFault {
    pub call: &'static str,
    /// Only calls with this value in `x-functions-key`, or `?code=`. Empty: all.
    pub key: &'static str,
    pub times: usize,
    /// None: the connection is dropped.
    pub status: Option<u16>,
}

/// Calls of this method and with this in their path are refused so many times, as in this recording
/// and with this message.
pub struct Refusal {
    pub call: &'static str,
    pub recording: &'static str,
    pub message: &'static str,
    pub times: usize,
}

fn is_of(call: &str, request: &Request, path: &str) -> bool {
    let (method, part) = call.split_once(' ').unwrap();
    method == request.method && path.contains(part)
}

/// What is not ready yet: so many times, and for so long after it was first asked.
#[derive(Default)]
pub struct Delay {
    pub times: usize,
    pub time: Duration,
    first: Option<Instant>,
}

impl Delay {
    fn goes_on(&mut self) -> bool {
        let first = *self.first.get_or_insert_with(Instant::now);
        let again = self.times > 0;
        self.times = self.times.saturating_sub(1);
        again || first.elapsed() < self.time
    }
}

#[derive(Default)]
pub struct State {
    /// By id in lower case, all resource types together.
    resources: BTreeMap<String, Value>,
    pub calls: Vec<Call>,
    /// Requests that the stand-in has no answer for, and answers that are not as recorded. There
    /// should be none.
    pub wrong: Vec<String>,
    /// A call of this method and with this in its path is kept waiting until `release`.
    held: Option<&'static str>,
    holding: bool,
    pub refusal: Option<Refusal>,
    /// Each kind of call fails when it is made for the first time; the kinds that were made.
    pub fail_each: Option<BTreeSet<(String, String)>>,
    pub taken_names: Vec<&'static str>,
    /// So many times is a group still there, as Deleting, when it is asked for after its deletion
    /// has begun.
    pub deleting: usize,
    /// So many times is a storage account not ready when it is asked for.
    pub settling: usize,
    /// Resource Graph does not find the app yet.
    pub lag: Delay,
    /// The deployment site is not up yet.
    pub unavailable: Delay,
    /// The app does not get the settings that it is created with.
    pub settings_lost: bool,
    /// Workspaces that were deleted without force: their names are not free.
    pub lost_workspaces: Vec<String>,
    /// By the app's id, what it was given for settings.
    pub settings: BTreeMap<String, Value>,
    /// So many times is the app not `Running` yet when asked for.
    pub starting: usize,
    /// So many times does the app's host give no master key when Resource Manager asks it.
    pub without_master_key: usize,
    pub front_faults: Vec<FrontFault>,
    /// Method, path and status of what the app's front end was asked.
    pub front_calls: Vec<Call>,
    /// Where the Functions host listens, once something is published.
    pub host_port: Option<u16>,
    /// Poll URLs of operations that run on, and what they end with.
    operations: BTreeMap<String, Operation>,
    default_host_name: String,
    base: String,
}

struct Operation {
    /// Done when the operation is asked after.
    deletes: String,
    result: (&'static str, Value),
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

    /// What a client other than az is answered, which asks without TLS.
    pub fn answer(&self, request: &Request) -> Reply {
        self.shared.resource_manager(request)
    }

    /// What the deployment site answers to an upload.
    pub fn upload(&self, request: &Request) -> Reply {
        let Some(mut state) = self.shared.unless_held("scm", request) else {
            return Reply::HangUp;
        };
        let reply = if state.unavailable.goes_on() {
            Reply::text(503, "The service is unavailable.").like("scm-503")
        } else {
            like("80", &Value::Null).with("Location", "/api/deployments/0")
        };
        let wrong = forms::differences(request, &reply);
        state.wrong.extend(wrong);
        reply
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
    /// anything. Before the path stands where it was called: arm, scm or front.
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

    /// All that there is, as far as two provisioned apps can be the same: without the names that
    /// are made up anew each time.
    pub fn summary(&self) -> Vec<String> {
        let plans = self.names("Microsoft.Web/serverfarms");
        let resources = self.resources.values().map(|resource| {
            let mut text = resource.to_string();
            for (index, name) in plans.iter().enumerate() {
                text = text.replace(name, &format!("PLAN-{index}"));
            }
            text.replace(&self.default_host_name, "HOST")
        });
        resources.collect()
    }

    /// Puts there what another Azure has.
    pub fn copy(&mut self, other: &Self) {
        for (id, resource) in &other.resources {
            let text = resource.to_string();
            let text = text.replace(&other.default_host_name, &self.default_host_name);
            let resource = serde_json::from_str(&text).unwrap();
            self.resources.insert(id.clone(), resource);
        }
        self.settings.clone_from(&other.settings);
    }

    pub fn resource(&self, kind: &str) -> &Value {
        let mut matching = self.resources.values().filter(|r| r["type"] == kind);
        let first = matching.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(matching.next().is_none(), "more than one {kind}");
        first
    }

    /// Puts something there that somebody else has made.
    pub fn insert(&mut self, id: &str, resource: Value) {
        self.keep(&in_subscription(id), resource);
    }

    /// Takes away what somebody else has deleted.
    pub fn take_away(&mut self, id: &str) {
        let id = in_subscription(id).to_lowercase();
        self.resources.remove(&id).expect("it is there");
    }

    /// Takes the only resource of this kind away.
    pub fn forget(&mut self, kind: &str) {
        let id = text(&self.resource(kind)["id"]).to_lowercase();
        self.resources.remove(&id);
    }

    fn keep(&mut self, id: &str, mut resource: Value) -> Value {
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
        self.resources.insert(id.to_lowercase(), resource.clone());
        resource
    }

    fn sites_on(&self, plan: &str) -> usize {
        let sites = self.resources.values();
        sites
            .filter(|r| text(&r["properties"]["serverFarmId"]).eq_ignore_ascii_case(plan))
            .count()
    }

    /// Long-running: the answer, of this form, says where to ask for the result.
    fn operation(
        &mut self,
        begun: &'static str,
        path: &str,
        deletes: &str,
        result: (&'static str, Value),
    ) -> Reply {
        let path = format!("{path}/{}", self.operations.len());
        let url = format!("{}{path}?api-version=2024-11-01", self.base);
        let deletes = deletes.to_owned();
        let operation = Operation { deletes, result };
        self.operations.insert(path.to_lowercase(), operation);
        let mut reply = like(begun, &Value::Null).with("Location", url.clone());
        if begun.starts_with("106") {
            reply = reply.with("Azure-AsyncOperation", url);
        }
        // The shortest there is: az takes 0 for no word at all, and then waits for 30 s.
        reply.with("Retry-After", "1")
    }

    fn poll(&mut self, request: &Request) -> Option<Reply> {
        let Operation { deletes, result } = self.operations.get(&request.path.to_lowercase())?;
        let (deletes, (form, result)) = (deletes.clone(), result.clone());
        if !deletes.is_empty() {
            self.remove(&deletes);
        }
        Some(like(form, &result))
    }

    /// Takes a resource and all below it away.
    fn remove(&mut self, id: &str) {
        let below = format!("{id}/");
        self.resources
            .retain(|other, _| other != id && !other.starts_with(&below));
    }

    fn resource_manager(&mut self, request: &Request) -> Reply {
        let token = request.header("authorization").unwrap_or_default();
        if !token.starts_with("Bearer ") || !request.query.contains("api-version=") {
            return refused("There is no bearer token or no api-version.");
        }
        if let Some(reply) = self.poll(request) {
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
            ("GET", "/providers/microsoft.web/locations/{}/functionappstacks") => {
                like("01", &fixed("stacks", ""))
            }
            ("GET", "/providers/microsoft.web/functionappstacks") => {
                like("06", &fixed("stacks", ""))
            }
            ("POST", "/providers/microsoft.resourcegraph/resources") => self.graph(request),
            ("GET", "/subscriptions/{}/locations") => {
                let locations = LOCATIONS.map(|(name, display)| {
                    json!({
                        "id": format!("/subscriptions/{SUBSCRIPTION}/locations/{name}"),
                        "name": name, "displayName": display,
                        "regionalDisplayName": format!("(There) {display}"),
                        "metadata": {"pairedRegion": []}, "availabilityZoneMappings": [],
                    })
                });
                like("05", &json!({"value": locations}))
            }
            ("GET", "/subscriptions/{}/providers/microsoft.web/georegions") => {
                let regions = LOCATIONS[..2]
                    .iter()
                    .map(|(_, display)| json!({"name": display, "properties": {"name": display}}));
                let is_flex = request.query.contains("FlexConsumption");
                let form = if is_flex { "02" } else { "03" };
                like(form, &json!({"value": regions.collect::<Vec<_>>()}))
            }
            ("POST", "/subscriptions/{}/providers/microsoft.storage/checknameavailability") => {
                let name = &request.json()["name"];
                let is_there = self
                    .names("Microsoft.Storage/storageAccounts")
                    .iter()
                    .any(|it| it == name);
                if is_there || self.taken_names.contains(&text(name)) {
                    like(
                        "17",
                        &json!({"nameAvailable": false, "reason": "AlreadyExists"}),
                    )
                } else {
                    like("16", &json!({"nameAvailable": true}))
                }
            }
            ("GET", "/subscriptions/{}/resources") => {
                let group = request.query.split("resourceGroup").nth(1);
                let group = group.unwrap_or_default().replace("%27", "'");
                let group = group.split('\'').nth(1).unwrap_or_default();
                self.list(&in_subscription(group))
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

    fn graph(&mut self, request: &Request) -> Reply {
        let lags = self.lag.goes_on();
        let body = request.json();
        let name = text(&body["query"])
            .split("name =~ '")
            .nth(1)
            .unwrap_or_default();
        let name = name.split('\'').next().unwrap_or_default();
        let found = self.resources.values().filter(|resource| {
            !lags
                && resource["type"] == "Microsoft.Web/sites"
                && text(&resource["name"]).eq_ignore_ascii_case(name)
        });
        let rows = found.map(|site| json!([site["id"]])).collect::<Vec<_>>();
        let answer =
            json!({"count": rows.len(), "data": {"columns": [{"name": "id"}], "rows": rows}});
        Reply::json(200, &answer).like("resource-graph")
    }

    fn group(&mut self, request: &Request) -> Reply {
        let id = request.path.to_lowercase();
        let name = request.path.rsplit('/').next().unwrap();
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
            ("HEAD", None) => like("13", &Value::Null),
            ("GET" | "DELETE", None) => no_group(&id),
            ("PUT", existing) => {
                let mut group = request.json();
                // az may ask again where it got no answer.
                if existing.is_some_and(|existing| existing["tags"] != group["tags"]) {
                    self.wrong.push("the group's tags are changed".to_owned());
                }
                group["properties"] = json!({"provisioningState": "Succeeded"});
                let path = request.path.replace("/resourcegroups/", "/resourceGroups/");
                like("10", &self.keep(&path, group))
            }
            ("DELETE", Some(_)) => {
                self.host_port = None;
                // Workspaces keep their names, here too.
                let below = format!("{id}/providers/microsoft.operationalinsights/");
                let lost = self
                    .resources
                    .keys()
                    .filter(|other| other.starts_with(&below));
                self.lost_workspaces.extend(lost.cloned());
                self.start_deleting(name);
                let path = format!("/subscriptions/{SUBSCRIPTION}/operationresults");
                self.operation("14-group-DELETE-202-2026", &path, &id, ("15c", Value::Null))
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
        let name = request.path.rsplit('/').next().unwrap();
        // Itself, or what it is a part of.
        let resource = first(9, &id);
        if ["POST", "PUT"].contains(&&*request.method)
            && resource != id
            && !self.resources.contains_key(&resource)
        {
            return not_found(request);
        }
        match (&*request.method, kind) {
            ("GET", "/resources") => self.list(&first(5, &id)),
            ("GET", "/providers/microsoft.web/serverfarms") => {
                let below = format!("{id}/");
                let plans = self
                    .resources
                    .iter()
                    .filter(|(id, _)| id.starts_with(&below));
                let plans = plans.map(|(id, plan)| {
                    let mut plan = plan.clone();
                    plan["properties"]["numberOfSites"] = json!(self.sites_on(id));
                    plan
                });
                let plans = plans.collect::<Vec<_>>();
                let form = if plans.is_empty() { "36" } else { "34" };
                like(form, &json!({"value": plans}))
            }
            ("POST", "/providers/microsoft.storage/storageaccounts/{}/listkeys") => {
                let keys = ["key1", "key2"].map(
                    |name| json!({"keyName": name, "value": STORAGE_KEY, "permissions": "FULL"}),
                );
                like("23", &json!({"keys": keys}))
            }
            ("POST", "/providers/microsoft.web/sites/{}/config/{}/list") => {
                let sku = &self.resources[&resource]["properties"]["sku"];
                let form = if *sku == "Dynamic" { "51" } else { "50" };
                like(form, &json!({"properties": self.settings.get(&resource)}))
            }
            ("PUT", "/providers/microsoft.web/sites/{}/config/{}") => {
                let settings = request.json();
                self.settings
                    .insert(resource, settings["properties"].clone());
                like("53", &settings)
            }
            ("POST", "/providers/microsoft.web/sites/{}/host/{}/listkeys") => {
                if self.host_port.is_none() {
                    return host_error("62", "ServiceUnavailable");
                }
                let is_without = self.without_master_key > 0;
                self.without_master_key = self.without_master_key.saturating_sub(1);
                let key = if is_without { "" } else { MASTER_KEY };
                let keys = json!({"masterKey": key, "functionKeys": {"default": "of-the-host"}});
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
            ("GET", _) => self.get(request, kind, &id),
            ("PUT", WORKSPACE) => self.put_workspace(request),
            ("PUT", COMPONENT) => self.put_component(request, name),
            ("PUT", STORAGE) => self.put_storage(request, name),
            ("PUT", CONTAINER) => self.put_container(request),
            ("PUT", PLAN) => {
                let mut plan = request.json();
                plan["properties"]["provisioningState"] = json!("Succeeded");
                like("30", &self.keep(&request.path, plan))
            }
            ("PUT", SITE) => self.put_site(request, name),
            ("DELETE", _) => self.delete(request, kind, &id),
            _ => self.not_known(request),
        }
    }

    fn get(&mut self, request: &Request, kind: &str, id: &str) -> Reply {
        let Some(mut resource) = self.resources.get(id).cloned() else {
            return match kind {
                CONTAINER => no_container(),
                _ => not_found(request),
            };
        };
        let form = match kind {
            STORAGE if self.settling > 0 => {
                self.settling -= 1;
                resource["properties"]["provisioningState"] = json!("ResolvingDNS");
                return Reply::json(200, &resource).like("storage-GET-not-ready");
            }
            STORAGE => "21-storage-GET-200",
            CONTAINER => "26",
            SITE => {
                if self.starting > 0 {
                    self.starting -= 1;
                    resource["properties"]["state"] = json!("Stopped");
                }
                let location = text(&resource["location"]);
                let known = LOCATIONS.iter().find(|(name, _)| *name == location);
                resource["location"] = json!(known.map_or(location, |(_, display)| display));
                let is_flex = resource["properties"]["sku"] != "Dynamic";
                if is_flex { "44" } else { "43" }
            }
            PLAN => "31",
            WORKSPACE => "101",
            _ => "121",
        };
        like(form, &resource)
    }

    fn put_storage(&mut self, request: &Request, name: &str) -> Reply {
        if self.taken_names.contains(&name) {
            let message = format!("The storage account named {name} is already taken.");
            return gateway_error("93", "StorageAccountAlreadyTaken", &message);
        }
        let existed = self.resources.contains_key(&request.path.to_lowercase());
        let mut account = request.json();
        let endpoints = ["blob", "queue", "table", "file"].map(|service| {
            let url = format!("https://{name}.{service}.core.windows.net/");
            (service.to_owned(), json!(url))
        });
        account["properties"]["provisioningState"] = json!("Succeeded");
        account["properties"]["primaryEndpoints"] = Value::Object(endpoints.into_iter().collect());
        let account = self.keep(&request.path, account);
        if existed {
            return Reply::json(200, &account).like("storage-PUT-existing");
        }
        let path = format!(
            "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Storage/locations/westus2/\
             asyncoperations"
        );
        self.operation("18", &path, "", ("20", account))
    }

    fn put_workspace(&mut self, request: &Request) -> Reply {
        let id = request.path.to_lowercase();
        if self.lost_workspaces.contains(&id) {
            return refused("A deleted workspace keeps its name for 14 days.");
        }
        let existed = self.resources.contains_key(&id);
        let mut workspace = request.json();
        workspace["properties"]["provisioningState"] = json!("Succeeded");
        let path = request.path.replace("/resourcegroups/", "/resourceGroups/");
        let mut workspace = self.keep(&path, workspace);
        if existed {
            return like("109", &workspace);
        }
        let url = format!("{}{path}?api-version=2025-02-01", self.base);
        workspace["properties"]["provisioningState"] = json!("Creating");
        like("100", &workspace).with("Location", url)
    }

    fn put_component(&mut self, request: &Request, name: &str) -> Reply {
        let mut component = request.json();
        let workspace = text(&component["properties"]["WorkspaceResourceId"]).to_lowercase();
        if !self.resources.contains_key(&workspace) {
            return refused("There is no such workspace.");
        }
        component["properties"]["ConnectionString"] = json!(CONNECTION_STRING);
        let component = self.keep(&request.path, component);
        // Azure adds these minutes later.
        let group = request.path.split("/providers/").next().unwrap();
        let rule = format!("smartDetectorAlertRules/Failure Anomalies - {name}");
        for added in [
            &format!("microsoft.alertsmanagement/{rule}"),
            "microsoft.insights/actiongroups/Application Insights Smart Detection",
        ] {
            let id = format!("{group}/providers/{added}");
            self.keep(&id, json!({"location": "global"}));
        }
        like("120", &component)
    }

    fn put_container(&mut self, request: &Request) -> Reply {
        if self.settling > 0 {
            let message = "The storage account provisioning state must be 'Succeeded'.";
            let code = "StorageAccountIsNotProvisioned";
            return Reply::json(409, &json!({"error": {"code": code, "message": message}}))
                .like("storage-not-ready-409");
        }
        let existed = self.resources.contains_key(&request.path.to_lowercase());
        let container = self.keep(&request.path, request.json());
        if existed {
            return Reply::json(200, &container).like("container-PUT-existing");
        }
        like("25", &container)
    }

    fn put_site(&mut self, request: &Request, name: &str) -> Reply {
        if self.taken_names.contains(&name) {
            let message = format!("Website with given name {name} already exists.");
            return web_error("90", "Conflict", &message);
        }
        let id = request.path.to_lowercase();
        let mut site = request.json();
        let settings = site["properties"]["siteConfig"]["appSettings"].take();
        let settings = settings.as_array().into_iter().flatten();
        let settings = settings
            .filter(|_| !self.settings_lost)
            .map(|setting| (text(&setting["name"]).to_owned(), setting["value"].clone()));
        self.settings.insert(id, settings.collect());

        let is_flex = site["properties"]["serverFarmId"].is_string();
        if !is_flex {
            // Azure makes one Linux Consumption plan for the group and the location.
            let group = request.path.split("/providers/").next().unwrap();
            let plan =
                format!("{group}/providers/Microsoft.Web/serverfarms/WestUS2LinuxDynamicPlan");
            let sku = json!({"name": "Y1", "tier": "Dynamic"});
            self.keep(&plan, json!({"location": site["location"], "sku": sku}));
            site["properties"]["serverFarmId"] = json!(plan);
        }
        site["properties"]["sku"] = json!(if is_flex {
            "FlexConsumption"
        } else {
            "Dynamic"
        });
        site["properties"]["state"] = json!("Running");
        site["properties"]["defaultHostName"] = json!(self.default_host_name);
        site["properties"]["hostNames"] = json!([self.default_host_name]);
        // Azure takes the text that az sends for this number, and gives the number.
        let scale = &mut site["properties"]["functionAppConfig"]["scaleAndConcurrency"];
        if let Some(memory) = scale["instanceMemoryMB"].as_str() {
            scale["instanceMemoryMB"] = json!(memory.parse::<u32>().unwrap());
        }
        like(
            if is_flex { "40" } else { "42" },
            &self.keep(&request.path, site),
        )
    }

    fn delete(&mut self, request: &Request, kind: &str, id: &str) -> Reply {
        let Some(resource) = self.resources.get(id).cloned() else {
            return match kind {
                SITE => like("48", &Value::Null),
                WORKSPACE => like("111", &Value::Null),
                _ => Reply::status(204).like("missing-DELETE"),
            };
        };
        if kind == PLAN && self.sites_on(id) > 0 {
            return Reply::status(409).like("plan-has-apps-409");
        }
        if kind == WORKSPACE && request.query.contains("force=true") {
            let path = format!(
                "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.OperationalInsights/locations/\
                 westus2/operationstatuses"
            );
            let result = json!({"status": "Succeeded"});
            return self.operation("106", &path, id, ("107", result));
        }
        self.remove(id);
        match kind {
            WORKSPACE => {
                self.lost_workspaces.push(id.to_owned());
                like("110", &Value::Null)
            }
            SITE => {
                self.host_port = None;
                let plan = text(&resource["properties"]["serverFarmId"]).to_lowercase();
                let keep_plan = request.query.contains("deleteEmptyServerFarm=false");
                if !keep_plan && self.sites_on(&plan) == 0 {
                    self.resources.remove(&plan);
                }
                like("46", &Value::Null)
            }
            PLAN => like("37", &Value::Null),
            COMPONENT => like("124", &Value::Null),
            CONTAINER => like("29", &Value::Null),
            STORAGE => Reply::status(200).like("storage-DELETE"),
            _ => Reply::status(200).like("alert-rule"),
        }
    }
}

impl Shared {
    /// The state, unless this call is one that is held; then none, once it is released.
    fn unless_held(&self, place: &str, request: &Request) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state.lock().unwrap();
        let is_held = |state: &State| {
            let path = format!("{place} {}", request.path);
            state.held.is_some_and(|call| is_of(call, request, &path))
        };
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
        let reply = state.answer(request);
        let wrong = forms::differences(request, &reply);
        state.wrong.extend(wrong);
        let status = match &reply {
            Reply::Answer { status, .. } => Some(*status),
            Reply::Verbatim(_) | Reply::HangUp => None,
        };
        state.calls.push(Call {
            method: request.method.clone(),
            path: request.path.clone(),
            status,
        });
        reply
    }

    fn front(&self, request: &Request) -> Reply {
        let Some(mut state) = self.unless_held("front", request) else {
            return Reply::HangUp;
        };
        let next = state.front(request);
        drop(state);
        // Without the lock: the host may take its time.
        let reply = match next {
            Front::Answer(reply) => reply,
            // The front ends of Azure answer 502 when the host does not.
            Front::PassOn(port, bytes) => {
                pass_on(port, &bytes).map_or_else(|_| Reply::status(502), Reply::Verbatim)
            }
        };
        let status = match &reply {
            Reply::Answer { status, .. } => Some(*status),
            Reply::Verbatim(bytes) => String::from_utf8_lossy(bytes)
                .split_whitespace()
                .nth(1)
                .and_then(|status| status.parse().ok()),
            Reply::HangUp => None,
        };
        self.state.lock().unwrap().front_calls.push(Call {
            method: request.method.clone(),
            path: request.path.clone(),
            status,
        });
        reply
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        if let Some(refusal) = &mut self.refusal
            && refusal.times > 0
            && is_of(refusal.call, request, &request.path)
        {
            refusal.times -= 1;
            return refused_as(refusal.recording, refusal.message);
        }
        let kind = (request.method.clone(), forms::kind(&request.path));
        if let Some(made) = &mut self.fail_each
            && made.insert(kind)
        {
            if request.method == "PUT" {
                // It is done, but there is no answer.
                self.resource_manager(request);
                return Reply::HangUp;
            }
            let Some(status) = [None, Some(429), Some(500), Some(503)][made.len() % 4] else {
                return Reply::HangUp;
            };
            let error = json!({"code": "TestFault", "message": "Failed on purpose."});
            let reply = Reply::json(status, &json!({ "error": error })).like("fault");
            return reply.with("Retry-After", "0");
        }
        self.resource_manager(request)
    }

    fn front(&mut self, request: &Request) -> Front {
        if self.names("Microsoft.Web/sites").is_empty() {
            return Front::Answer(Reply::HangUp);
        }
        let code = request.query.strip_prefix("code=");
        let key = request.header("x-functions-key").or(code);
        let fault = self.front_faults.iter_mut().find(|fault| {
            fault.times > 0
                && is_of(fault.call, request, &request.path)
                && (fault.key.is_empty() || Some(fault.key) == key)
        });
        if let Some(fault) = fault {
            fault.times -= 1;
            return Front::Answer(fault.status.map_or(Reply::HangUp, Reply::status));
        }
        let Some(port) = self.host_port else {
            return Front::Answer(match request.path.as_str() {
                "/" => Reply::text(200, "Your Azure Function App is up and running."),
                _ => Reply::status(404),
            });
        };
        let separator = if request.query.is_empty() { "" } else { "?" };
        let mut bytes = format!(
            "{} {}{separator}{} HTTP/1.1\r\n",
            request.method, request.path, request.query
        )
        .into_bytes();
        for (name, value) in &request.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"connection: close\r\n\r\n");
        bytes.extend(&request.body);
        Front::PassOn(port, bytes)
    }
}

/// What the app's front end does with a request.
enum Front {
    Answer(Reply),
    PassOn(u16, Vec<u8>),
}

/// The answer of the host to a request that asks it to close the connection.
fn pass_on(port: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request)?;
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

/// The refusals that were recorded, with another message.
fn refused_as(recording: &'static str, message: &str) -> Reply {
    match recording {
        "63" => host_error("63", message),
        "91" => web_error("91", "Unauthorized", message),
        "92" => web_error("92", "BadRequest", message),
        "94" => gateway_error("94", "RequestDisallowedByPolicy", message),
        "95" => gateway_error("95", "AuthorizationFailed", message),
        "96" => gateway_error("96", "ResourceRequestsThrottled", message).with("Retry-After", "0"),
        "97" => gateway_error("97", "LocationNotAvailableForResourceType", message),
        "98" => gateway_error("98", "InvalidAuthenticationToken", message)
            .with("WWW-Authenticate", "Bearer error=\"invalid_token\""),
        _ => panic!("no refusal is like {recording}"),
    }
}

/// Of Resource Manager itself, and of the storage provider.
fn gateway_error(recording: &'static str, code: &str, message: &str) -> Reply {
    like(
        recording,
        &json!({"error": {"code": code, "message": message}}),
    )
}

/// Of Microsoft.Web.
fn web_error(recording: &'static str, code: &str, message: &str) -> Reply {
    like(recording, &json!({"Code": code, "Message": message}))
}

/// Microsoft.Web has asked the app's host, and this was the status.
fn host_error(recording: &'static str, status: &str) -> Reply {
    let message = format!("Encountered an error ({status}) from host runtime.");
    web_error(recording, "BadRequest", &message)
}

fn no_group(id: &str) -> Reply {
    let name = id.rsplit('/').next().unwrap();
    let message = format!("Resource group '{name}' could not be found.");
    gateway_error("27", "ResourceGroupNotFound", &message)
}

fn no_container() -> Reply {
    let message = "The specified container does not exist.\nRequestId:0\nTime:0";
    gateway_error("24", "ContainerNotFound", message)
}

fn not_found(request: &Request) -> Reply {
    let message = format!("The Resource '{}' was not found.", request.path);
    gateway_error("28", "ResourceNotFound", &message)
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
