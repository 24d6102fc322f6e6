//! A loopback stand-in for the part of Azure that `provision.sh` deals with, written for the real
//! Azure CLI, 2.91.0:
//!
//! - Resource Manager, by TLS: resource groups, storage accounts and their containers, plans and
//!   function apps. A resource is given out again the way it was put in. An error is the answer to: a
//!   name that is taken, a group in another location, a parent or a plan that is not there, a second
//!   app on a Flex Consumption plan, the deletion of a plan with an app, a wrong storage key;
//! - the front end of the function app, by TLS, on the port that `defaultHostName` names: what is
//!   not published yet gets the placeholder page, everything else goes to the Functions host;
//! - cloud metadata and tokens, by plain HTTP, so that `az` takes all this for its public cloud.
//!
//! It leaves out: permissions (any token will do), API versions (all are one, but there must be
//! one), locations other than three, quotas, resource providers' registration, soft deletion, all
//! resource types and properties that the script doesn't touch, and more than one function app at
//! a time that is published.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};

use crate::http::{Reply, Request, Server, tls};

pub const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
pub const STORAGE_KEY: &str = "c3RvcmFnZS1rZXktb2YtdGhlLXRlc3Q=";
pub const MASTER_KEY: &str = "master-key-of-the-test-fV0pQ==";

const LOCATIONS: [(&str, &str); 3] = [
    ("westus2", "West US 2"),
    ("northeurope", "North Europe"),
    ("germanynorth", "Germany North"),
];
/// The one that has no Functions.
const WITHOUT_FUNCTIONS: &str = "germanynorth";

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
        match self.method.as_str() {
            "GET" | "HEAD" => false,
            // These three only ask, although by POST.
            "POST" => !["checknameavailability", "listkeys", "publishxml"]
                .iter()
                .any(|question| self.path.to_lowercase().ends_with(question)),
            _ => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Refused, nothing was done.
    Status(u16),
    /// The connection is dropped, nothing was done.
    Lost,
    /// What was asked for is done, but the connection is dropped instead of an answer.
    AnswerLost,
}

/// What the app's front end answers, this many times, to requests of this method whose path begins
/// like this, in place of passing them on.
pub struct FrontFault {
    pub method: &'static str,
    pub path: &'static str,
    /// Only requests with this value in `x-functions-key`, or `?code=`.
    pub key: Option<String>,
    pub times: usize,
    /// None: the connection is dropped.
    pub status: Option<u16>,
}

#[derive(Default)]
pub struct State {
    /// By id in lower case, all resource types together.
    resources: BTreeMap<String, Value>,
    pub calls: Vec<Call>,
    /// Requests that the stand-in has no answer for. There should be none.
    pub unknown: Vec<String>,
    /// The n-th call from now, counted from 0, fails.
    fault: Option<(usize, Fault)>,
    /// A call of this method and with this in its path is kept waiting until `release`.
    held: Option<(&'static str, &'static str)>,
    holding: bool,
    pub taken_names: Vec<&'static str>,
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
    polls_left: usize,
    result: Value,
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
        let metadata = Server::start(None, move |request| metadata(&request, &base));
        Self {
            shared,
            _resource_manager: resource_manager,
            _front: front,
            metadata,
        }
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

    /// Lets the n-th call of Resource Manager from now fail, counted from 0.
    pub fn fail_call(&self, index: usize, fault: Fault) {
        self.state().fault = Some((index, fault));
    }

    /// Keeps calls of this kind waiting until `release`, and then hangs up without having done
    /// anything.
    pub fn hold(&self, method: &'static str, path: &'static str) {
        self.state().held = Some((method, path));
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

    pub fn resource(&self, kind: &str) -> &Value {
        let mut matching = self.resources.values().filter(|r| r["type"] == kind);
        let first = matching.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(matching.next().is_none(), "more than one {kind}");
        first
    }

    /// Puts something there that somebody else has made.
    pub fn insert(&mut self, id: &str, resource: Value) {
        let id = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{id}");
        self.keep(&id, resource);
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

    /// Long-running: the answer says where to ask for the result, and the first time there is none
    /// yet.
    fn operation(&mut self, result: Value) -> Reply {
        let path = format!(
            "/subscriptions/{SUBSCRIPTION}/operationresults/{}",
            self.operations.len()
        );
        let url = format!("{}{path}?api-version=2024-11-01", self.base);
        let operation = Operation {
            polls_left: 1,
            result,
        };
        self.operations.insert(path, operation);
        Reply::status(202)
            .with("Location", url)
            // The shortest there is: az takes 0 for no word at all, and then waits for 30 s.
            .with("Retry-After", "1")
    }

    fn resource_manager(&mut self, request: &Request) -> Reply {
        if !request
            .header("authorization")
            .is_some_and(|value| value.starts_with("Bearer "))
        {
            return error(401, "AuthenticationFailed", "There is no bearer token.");
        }
        if !request.query.contains("api-version=") {
            return error(
                400,
                "MissingApiVersionParameter",
                "There is no api-version.",
            );
        }
        if let Some(operation) = self.operations.get_mut(&request.path) {
            if operation.polls_left > 0 {
                operation.polls_left -= 1;
                let location = format!("{}{}?{}", self.base, request.path, request.query);
                return Reply::status(202)
                    .with("Location", location)
                    .with("Retry-After", "1");
            }
            return Reply::json(200, &operation.result);
        }

        let path = request.path.to_lowercase();
        let segments = path.trim_matches('/').split('/').collect::<Vec<_>>();
        let method = request.method.as_str();
        match (method, &segments[..]) {
            ("GET", ["subscriptions"]) => Reply::json(200, &json!({"value": [subscription()]})),
            ("GET", ["subscriptions", SUBSCRIPTION]) => Reply::json(200, &subscription()),
            ("GET", ["tenants"]) => Reply::json(200, &json!({"value": [{"tenantId": "t"}]})),
            (
                "GET",
                [
                    "providers",
                    "microsoft.web",
                    "locations",
                    _,
                    "functionappstacks",
                ],
            )
            | ("GET", ["providers", "microsoft.web", "functionappstacks"]) => {
                Reply::json(200, &stacks())
            }
            ("GET", ["subscriptions", _, "locations"]) => {
                let locations = LOCATIONS.map(|(name, display)| {
                    json!({
                        "id": format!("/subscriptions/{SUBSCRIPTION}/locations/{name}"),
                        "name": name, "displayName": display, "regionalDisplayName": display,
                    })
                });
                Reply::json(200, &json!({"value": locations}))
            }
            (
                "GET",
                [
                    "subscriptions",
                    _,
                    "providers",
                    "microsoft.web",
                    "georegions",
                ],
            ) => {
                let regions = LOCATIONS
                    .iter()
                    .filter(|(name, _)| *name != WITHOUT_FUNCTIONS)
                    .map(|(_, display)| json!({"name": display, "properties": {"name": display}}))
                    .collect::<Vec<_>>();
                Reply::json(200, &json!({"value": regions}))
            }
            (
                "POST",
                [
                    "subscriptions",
                    _,
                    "providers",
                    "microsoft.storage",
                    "checknameavailability",
                ],
            ) => self.check_storage_name(text(&request.json()["name"])),
            ("GET", ["subscriptions", _, "resources"]) => {
                let group = request.query.split("resourceGroup").nth(1);
                let group = group.unwrap_or_default().replace("%27", "'");
                let group = group.split('\'').nth(1).unwrap_or_default().to_lowercase();
                self.list(&format!(
                    "/subscriptions/{SUBSCRIPTION}/resourcegroups/{group}/providers/"
                ))
            }
            (_, ["subscriptions", SUBSCRIPTION, "resourcegroups", _]) => self.group(request),
            (
                _,
                [
                    "subscriptions",
                    SUBSCRIPTION,
                    "resourcegroups",
                    group,
                    rest @ ..,
                ],
            ) => {
                let parent = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/{group}");
                if !self.resources.contains_key(&parent) {
                    let message = format!("Resource group '{group}' could not be found.");
                    return error(404, "ResourceGroupNotFound", &message);
                }
                self.in_group(request, rest)
            }
            _ => self.not_known(request),
        }
    }

    fn not_known(&mut self, request: &Request) -> Reply {
        let line = format!("{} {}?{}", request.method, request.path, request.query);
        self.unknown.push(line.clone());
        error(501, "NotImplemented", &line)
    }

    /// Resources directly under a path, and not those below them.
    fn list(&self, prefix: &str) -> Reply {
        let below = self.resources.iter().filter(|(id, _)| {
            id.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.split('/').count() <= 3)
        });
        let value = below.map(|(_, resource)| resource).collect::<Vec<_>>();
        Reply::json(200, &json!({"value": value}))
    }

    fn group(&mut self, request: &Request) -> Reply {
        let id = request.path.to_lowercase();
        let existing = self.resources.get(&id).cloned();
        match (request.method.as_str(), existing) {
            ("GET", Some(group)) => Reply::json(200, &group),
            ("HEAD", Some(_)) => Reply::status(204),
            ("HEAD", None) => Reply::status(404),
            ("GET" | "DELETE", None) => {
                let name = request.path.rsplit('/').next().unwrap();
                let message = format!("Resource group '{name}' could not be found.");
                error(404, "ResourceGroupNotFound", &message)
            }
            ("PUT", existing) => {
                let mut group = request.json();
                if let Some(existing) = &existing
                    && existing["location"] != group["location"]
                {
                    return error(
                        409,
                        "InvalidResourceGroupLocation",
                        "The group exists in another location.",
                    );
                }
                group["properties"] = json!({"provisioningState": "Succeeded"});
                let path = request.path.replace("/resourcegroups/", "/resourceGroups/");
                let group = self.keep(&path, group);
                Reply::json(if existing.is_some() { 200 } else { 201 }, &group)
            }
            ("DELETE", Some(_)) => {
                let below = format!("{id}/");
                self.resources
                    .retain(|other, _| *other != id && !other.starts_with(&below));
                self.host_port = None;
                self.operation(Value::Null)
            }
            _ => self.not_known(request),
        }
    }

    /// What lies in a group that exists; `segments` follow the group's name.
    fn in_group(&mut self, request: &Request, segments: &[&str]) -> Reply {
        let id = request.path.to_lowercase();
        match (request.method.as_str(), segments) {
            ("GET", ["resources"]) => {
                self.list(&format!("{}providers/", id.trim_end_matches("resources")))
            }
            ("GET", ["providers", "microsoft.web", "serverfarms"]) => {
                let prefix = format!("{id}/");
                let plans = self
                    .resources
                    .iter()
                    .filter(|(id, _)| id.starts_with(&prefix));
                let plans = plans.map(|(id, plan)| {
                    let mut plan = plan.clone();
                    plan["properties"]["numberOfSites"] = json!(self.sites_on(id));
                    plan
                });
                Reply::json(200, &json!({"value": plans.collect::<Vec<_>>()}))
            }
            (
                "POST",
                [
                    "providers",
                    "microsoft.storage",
                    "storageaccounts",
                    _,
                    "listkeys",
                ],
            ) => {
                if !self
                    .resources
                    .contains_key(id.trim_end_matches("/listkeys"))
                {
                    return not_found(request);
                }
                let keys = ["key1", "key2"].map(
                    |name| json!({"keyName": name, "value": STORAGE_KEY, "permissions": "FULL"}),
                );
                Reply::json(200, &json!({"keys": keys}))
            }
            ("POST", ["providers", "microsoft.web", "sites", _, rest @ ..]) => {
                self.site_question(request, rest)
            }
            ("GET", ["providers", "microsoft.web", "sites", _, "config", "web"]) => {
                Reply::json(200, &json!({"properties": {"linuxFxVersion": ""}}))
            }
            ("GET", ["providers", "microsoft.web", "sites", _]) => match self.resources.get(&id) {
                None => not_found(request),
                Some(site) => {
                    let mut site = site.clone();
                    if self.starting > 0 {
                        self.starting -= 1;
                        site["properties"]["state"] = json!("Stopped");
                    }
                    // What was set as an app setting is not given out here.
                    site["properties"]["siteConfig"] = Value::Null;
                    Reply::json(200, &site)
                }
            },
            ("GET", ["providers", _, ..]) => match self.resources.get(&id) {
                Some(resource) => Reply::json(200, resource),
                None => not_found(request),
            },
            ("PUT", ["providers", "microsoft.storage", "storageaccounts", name]) => {
                self.put_storage(request, name)
            }
            (
                "PUT",
                [
                    "providers",
                    "microsoft.storage",
                    "storageaccounts",
                    _,
                    "blobservices",
                    "default",
                    "containers",
                    name,
                ],
            ) => self.put_container(request, name),
            ("PUT", ["providers", "microsoft.web", "serverfarms", _]) => {
                let mut plan = request.json();
                plan["properties"]["provisioningState"] = json!("Succeeded");
                let plan = self.keep(&request.path, plan);
                Reply::json(200, &plan)
            }
            ("PUT", ["providers", "microsoft.web", "sites", name]) => self.put_site(request, name),
            ("DELETE", ["providers", _, ..]) => self.delete(request, segments),
            _ => self.not_known(request),
        }
    }

    fn site_question(&mut self, request: &Request, segments: &[&str]) -> Reply {
        let id = request.path.to_lowercase();
        let site = id.split('/').take(9).collect::<Vec<_>>().join("/");
        if !self.resources.contains_key(&site) {
            return not_found(request);
        }
        match segments {
            ["publishxml"] => Reply::text(
                200,
                "<publishData><publishProfile publishMethod=\"FTP\" publishUrl=\"ftp://localhost\" \
                 /><publishProfile publishMethod=\"MSDeploy\" publishUrl=\"localhost\" \
                 /></publishData>",
            ),
            ["host", "default", "listkeys"] => {
                if self.host_port.is_none() {
                    return error(
                        400,
                        "BadRequest",
                        "Encountered an error (ServiceUnavailable) from host runtime.",
                    );
                }
                let mut key = json!(MASTER_KEY);
                if self.without_master_key > 0 {
                    self.without_master_key -= 1;
                    key = Value::Null;
                }
                Reply::json(
                    200,
                    &json!({"masterKey": key, "functionKeys": {}, "systemKeys": {}}),
                )
            }
            ["functions", function, "listkeys"] => {
                // Resource Manager has this from the host.
                let path = format!("/admin/functions/{function}/keys");
                let answer = self.host_port.map(|port| {
                    let head = format!(
                        "GET {path} HTTP/1.1\r\nHost: localhost\r\nx-functions-key: \
                         {MASTER_KEY}\r\nConnection: close\r\n\r\n"
                    );
                    pass_on(port, head.as_bytes())
                });
                let Some(Ok(answer)) = answer else {
                    return error(503, "ServiceUnavailable", "The host does not answer.");
                };
                let answer = String::from_utf8_lossy(&answer).into_owned();
                let start = answer.find('{').unwrap_or_default();
                let end = answer.rfind('}').map_or(0, |end| end + 1);
                let keys = serde_json::from_str::<Value>(&answer[start..end]).unwrap_or_default();
                let keys = keys["keys"].as_array().cloned().unwrap_or_default();
                let keys = keys
                    .iter()
                    .map(|key| (text(&key["name"]).to_owned(), key["value"].clone()))
                    .collect::<serde_json::Map<_, _>>();
                Reply::json(200, &Value::Object(keys))
            }
            _ => self.not_known(request),
        }
    }

    fn check_storage_name(&self, name: &str) -> Reply {
        let taken = self.taken_names.contains(&name)
            || self
                .names("Microsoft.Storage/storageAccounts")
                .iter()
                .any(|other| other == name);
        let answer = if taken {
            json!({"nameAvailable": false, "reason": "AlreadyExists",
                "message": format!("The storage account named {name} is already taken.")})
        } else {
            json!({"nameAvailable": true})
        };
        Reply::json(200, &answer)
    }

    fn put_storage(&mut self, request: &Request, name: &str) -> Reply {
        let fits = (3..=24).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fits {
            let message = format!("{name} is not a valid storage account name.");
            return error(400, "AccountNameInvalid", &message);
        }
        if self.taken_names.contains(&name) {
            let message = format!("The storage account named {name} is already taken.");
            return error(409, "StorageAccountAlreadyTaken", &message);
        }
        let existed = self.resources.contains_key(&request.path.to_lowercase());
        let mut account = request.json();
        let endpoint = |service: &str| format!("https://{name}.{service}.core.windows.net/");
        account["properties"]["provisioningState"] = json!("Succeeded");
        account["properties"]["primaryEndpoints"] = json!({
            "blob": endpoint("blob"), "queue": endpoint("queue"),
            "table": endpoint("table"), "file": endpoint("file"),
        });
        let account = self.keep(&request.path, account);
        if existed {
            Reply::json(200, &account)
        } else {
            self.operation(account)
        }
    }

    fn put_container(&mut self, request: &Request, name: &str) -> Reply {
        let account = request.path.to_lowercase();
        let account = account.split("/blobservices/").next().unwrap();
        if !self.resources.contains_key(account) {
            return not_found(request);
        }
        let fits = (3..=63).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !name.contains("--");
        if !fits {
            let message = format!("{name} is not a valid container name.");
            return error(400, "ContainerOperationFailure", &message);
        }
        let existed = self.resources.contains_key(&request.path.to_lowercase());
        let container = self.keep(&request.path, request.json());
        Reply::json(if existed { 200 } else { 201 }, &container)
    }

    fn put_site(&mut self, request: &Request, name: &str) -> Reply {
        if self.taken_names.contains(&name) {
            let message = format!("Website with given name {name} already exists.");
            return error(409, "Conflict", &message);
        }
        let id = request.path.to_lowercase();
        let mut site = request.json();
        let refused = |message: String| error(400, "BadRequest", &message);

        let settings = site["properties"]["siteConfig"]["appSettings"].clone();
        let storage = settings.as_array().into_iter().flatten();
        let storage = storage
            .filter(|setting| text(&setting["value"]).contains("AccountName="))
            .map(|setting| text(&setting["value"]));
        let accounts = self.names("Microsoft.Storage/storageAccounts");
        for connection in storage {
            let fits = connection.contains(&format!("AccountKey={STORAGE_KEY}"))
                && accounts
                    .iter()
                    .any(|name| connection.contains(&format!("AccountName={name};")));
            if !fits {
                return refused("The storage account can't be reached.".to_owned());
            }
        }

        let plan = text(&site["properties"]["serverFarmId"]).to_lowercase();
        let sku = if plan.is_empty() {
            // Azure makes one Linux Consumption plan for the group and the location.
            let plan = id.split("/sites/").next().unwrap().to_owned()
                + "/serverfarms/WestUS2LinuxDynamicPlan";
            let plan = plan.replace("/resourcegroups/", "/resourceGroups/");
            let plan = plan.replace("/microsoft.web/", "/Microsoft.Web/");
            self.keep(
                &plan,
                json!({"location": site["location"], "sku": {"name": "Y1", "tier": "Dynamic"}}),
            );
            site["properties"]["serverFarmId"] = json!(plan);
            "Dynamic"
        } else {
            if !self.resources.contains_key(&plan) {
                return error(404, "ResourceNotFound", "There is no such plan.");
            }
            let elsewhere = self.resources.iter().any(|(other, resource)| {
                *other != id
                    && text(&resource["properties"]["serverFarmId"]).eq_ignore_ascii_case(&plan)
            });
            if elsewhere {
                return error(409, "Conflict", "The plan has an app already.");
            }
            let url = &site["properties"]["functionAppConfig"]["deployment"]["storage"]["value"];
            let container = text(url).rsplit('/').next().unwrap();
            let containers =
                self.names("Microsoft.Storage/storageAccounts/blobServices/containers");
            if !containers.iter().any(|name| name == container) {
                return refused(format!("There is no container {container}."));
            }
            "FlexConsumption"
        };
        site["properties"]["sku"] = json!(sku);
        site["properties"]["state"] = json!("Running");
        site["properties"]["defaultHostName"] = json!(self.default_host_name);
        site["properties"]["hostNames"] = json!([self.default_host_name]);
        let site = self.keep(&request.path, site);
        Reply::json(200, &site)
    }

    fn delete(&mut self, request: &Request, segments: &[&str]) -> Reply {
        let id = request.path.to_lowercase();
        let Some(resource) = self.resources.get(&id).cloned() else {
            return Reply::status(204);
        };
        if segments.contains(&"serverfarms") && self.sites_on(&id) > 0 {
            return error(409, "Conflict", "The plan has apps.");
        }
        let below = format!("{id}/");
        self.resources
            .retain(|other, _| *other != id && !other.starts_with(&below));
        if segments.contains(&"sites") {
            self.host_port = None;
            let plan = text(&resource["properties"]["serverFarmId"]).to_lowercase();
            let keep_plan = request.query.contains("deleteEmptyServerFarm=false");
            if !keep_plan && self.sites_on(&plan) == 0 {
                self.resources.remove(&plan);
            }
        }
        Reply::status(200)
    }
}

impl Shared {
    fn resource_manager(&self, request: &Request) -> Reply {
        let mut state = self.state.lock().unwrap();
        let is_held = |state: &State| {
            state.held.is_some_and(|(method, path)| {
                request.method == method && request.path.contains(path)
            })
        };
        if is_held(&state) {
            state.holding = true;
            self.changed.notify_all();
            let _released = self.changed.wait_while(state, |state| is_held(state));
            return Reply::HangUp;
        }
        let reply = match state.fault.take() {
            Some((0, Fault::Status(status))) => {
                let message = format!("Failed on purpose, by status {status}.");
                // By its code the script tells that waiting is of no use.
                let code = match status {
                    403 => "AuthorizationFailed",
                    _ => "TestFault",
                };
                error(status, code, &message).with("Retry-After", "0")
            }
            Some((0, Fault::Lost)) => Reply::HangUp,
            Some((0, Fault::AnswerLost)) => {
                state.resource_manager(request);
                Reply::HangUp
            }
            later => {
                state.fault = later.map(|(index, fault)| (index - 1, fault));
                state.resource_manager(request)
            }
        };
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
        let next = self.state.lock().unwrap().front(request);
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
    fn front(&mut self, request: &Request) -> Front {
        if self.names("Microsoft.Web/sites").is_empty() {
            return Front::Answer(Reply::HangUp);
        }
        let code = request.query.strip_prefix("code=");
        let key = request.header("x-functions-key").or(code);
        let fault = self.front_faults.iter_mut().find(|fault| {
            fault.times > 0
                && fault.method == request.method
                && request.path.starts_with(fault.path)
                && (fault.key.is_none() || fault.key.as_deref() == key)
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

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(
        status,
        &json!({"error": {"code": code, "message": message}}),
    )
}

fn not_found(request: &Request) -> Reply {
    let message = format!("The resource '{}' was not found.", request.path);
    error(404, "ResourceNotFound", &message)
}

fn subscription() -> Value {
    json!({
        "id": format!("/subscriptions/{SUBSCRIPTION}"),
        "subscriptionId": SUBSCRIPTION,
        "displayName": "Test",
        "state": "Enabled",
        "tenantId": "00000000-0000-0000-0000-0000000000aa",
        "subscriptionPolicies": {},
    })
}

/// The runtimes on offer: one, custom handlers, on both plans.
fn stacks() -> Value {
    let settings = json!({
        "runtimeVersion": "",
        "isPreview": false, "isHidden": false, "isDeprecated": false,
        "remoteDebuggingSupported": false,
        "appInsightsSettings": {"isSupported": true},
        "gitHubActionSettings": {"isSupported": false},
        "appSettingsDictionary": {"FUNCTIONS_WORKER_RUNTIME": "custom"},
        "siteConfigPropertiesDictionary": {"use32BitWorkerProcess": false, "linuxFxVersion": ""},
        "supportedFunctionsExtensionVersions": ["~4"],
        "supportedFunctionsExtensionVersionsInfo":
            [{"version": "~4", "isDeprecated": false, "isDefault": true}],
        "Sku": [{
            "skuCode": "FC1",
            "instanceMemoryMB": [{"size": 2048, "isDefault": true}],
            "maximumInstanceCount": {"lowestMaximumInstanceCount": 40,
                "highestMaximumInstanceCount": 1000, "defaultValue": 100},
            "functionAppConfigProperties": {"runtime": {"name": "custom", "version": "1.0"}},
        }],
    });
    json!({"value": [{
        "id": null, "name": "custom", "type": "Microsoft.Web/functionAppStacks",
        "properties": {
            "displayText": "Custom Handler", "value": "custom", "preferredOs": "windows",
            "majorVersions": [{
                "displayText": "Custom Handler", "value": "custom",
                "minorVersions": [{
                    "displayText": "Custom Handler", "value": "1.0",
                    "stackSettings": {"linuxRuntimeSettings": settings},
                }],
            }],
        },
    }]})
}

fn metadata(request: &Request, base: &str) -> Reply {
    if request.path == "/msi/token" {
        return Reply::json(
            200,
            &json!({
                "access_token": unsigned_token(),
                "expires_on": "4102444800",
                "resource": base,
                "token_type": "Bearer",
            }),
        );
    }
    // All of it is ours: whatever az asks there that the stand-in does not know fails on loopback.
    Reply::json(
        200,
        &json!([{
            "name": "AzureCloud",
            "portal": base,
            "authentication": {
                "loginEndpoint": base, "audiences": [base],
                "tenant": "common", "identityProvider": "AAD",
            },
            "graphAudience": base, "graph": base, "resourceManager": base,
            "microsoftGraphResourceId": base, "batch": base, "sqlManagement": base,
            "vmImageAliasDoc": base, "gallery": base, "media": base,
            "activeDirectoryDataLake": base, "logAnalyticsResourceId": base,
            "appInsightsResourceId": base,
            "suffixes": {
                "storage": "core.windows.net", "keyVaultDns": "vault.azure.net",
                "sqlServerHostname": "database.windows.net", "acrLoginServer": "azurecr.io",
                "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
                "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            },
        }]),
    )
}

/// A JSON web token with the claims that `az login --identity` reads, and no signature:
/// {"alg":"none"} and {"tid":"…aa","oid":"o","sub":"s"}, in base64.
fn unsigned_token() -> &'static str {
    "eyJhbGciOiJub25lIn0.eyJ0aWQiOiIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwYWEiLCJvaWQiOiJvIiwic3ViIjoicyIsInhtc19taXJpZCI6Ii9zdWJzY3JpcHRpb25zL3gifQ."
}
