#!/usr/bin/env bash
#
# Brings the function to Azure, step by step: resource group, storage account and logs; the function
# app; the package; the function key. At last it checks with real calls.
#
# It first looks what is there, so it can be run again at any time and goes on from where it ended.
# No secret is given to a command as an argument, where `ps` shows it to everybody on the machine,
# nor printed, nor written to a file. It runs on bash 3.2 (macOS) and later.

[ -n "${BASH_VERSION-}" ] || { echo 'provision.sh: run it with bash: ./provision.sh' >&2; exit 2; }
# Started as `sh`, bash lacks some of what is used here.
set +o posix
set -euo pipefail

# --- What function.json does not say ------------------------------------------------------------

# The function after which everything in Azure is named.
function_name=RandomNumber

# How the check at the end calls a function, and what it answers: an extended regular expression. A
# function that is not named here is called at its route, with 1 for each parameter, and any answer
# of status 200 will do. A POST with a body takes for example
#   Greeting) path=greeting options=(--header 'Content-Type: text/plain' --data Ada) answers=Ada ;;
sample_call() {
  case $1 in
    RandomNumber) answers='^\{"value":[1-9][0-9]{0,2}\}$' ;;
  esac
}

# ------------------------------------------------------------------------------------------------

usage() {
  cat <<USAGE
Creates the $function_name function app, publishes it, sets the functions' key and checks them.
Running it again keeps the resources, publishes again and sets the key again.

Usage: ./provision.sh [OPTION]...

  --subscription NAME    name or id                  (PROVISION_SUBSCRIPTION; az's default one)
  --resource-group NAME  created if it is not there  (PROVISION_RESOURCE_GROUP; $default_group)
  --location NAME        Azure region                (PROVISION_LOCATION; $default_location)
  --plan PLAN            flex or consumption         (PROVISION_PLAN; flex)
  --app NAME             function app                (PROVISION_APP; derived)
  --storage NAME         storage account             (PROVISION_STORAGE; derived)
  --key-name NAME        name of the access key      (PROVISION_KEY_NAME; $default_key_name)
  --key-file FILE        read the access key's value from FILE, or from standard input if FILE
                         is -                        (PROVISION_KEY_VALUE; $default_key_value)
  --no-logs              leave out Application Insights, which can cost money
  --update               build, publish and check an app that is there, and nothing else
  --dry-run              look at what is there, print what would be done, change nothing
  --delete               delete what this script has created, after asking
  --yes                  don't ask
  --help                 print this
In parentheses: the environment variable that an option overrides; the default. Derived names
follow from the subscription and the resource group, so that each run finds the same ones.
PROVISION_TIMEOUT is the longest wait for Azure in one step, in seconds ($default_timeout).
USAGE
}

default_location=westus2
default_timeout=300
# The name of the key that each function is born with. Setting it replaces the generated value;
# under another name that one would stay valid beside ours, without anybody knowing it.
default_key_name=default
# The walkthrough's own, published in its text.
default_key_value=d0c5atM1cr0s0ft

# The first version of func that takes the worker runtime from the environment.
oldest_func=4.0.6821
# Marks what this script has created, so that it deletes nothing else.
tag_name=created-by
tag_value=random-number-provision.sh
# How often a key just set may be refused, asked each 5 s: for two minutes. An instance looks for
# new keys at most once a minute (`SecretManager` in Azure/azure-functions-host).
stale_keys=24

main() {
  read_arguments "$@"
  check_arguments
  errors=$(mktemp)
  trap finish EXIT
  trap 'echo && end 129 stopped.' HUP
  trap 'echo && end 130 stopped.' INT
  trap 'echo && end 143 stopped.' TERM

  cd "$(dirname "${BASH_SOURCE[0]}")"
  check_prerequisites
  derive_names
  if $delete; then
    delete_all
    return
  fi
  announce
  if $update; then
    step 'Function app' find_app_to_update
  else
    step 'Resource group, storage account, logs' prepare
    step 'Function app' create_app
    step 'Wait for the host' await_host 'wait until the app is running and its host answers'
  fi
  step 'Build and publish' publish \
    "run: ./build.sh, and func azure functionapp publish $app --subscription $subscription"
  $update || step 'Access key' assign_keys "set the key $key_name of each function"
  step 'Check' check 'call each function without a key, with a wrong one and with the right one'
  sum_up
}

# --- Arguments ----------------------------------------------------------------------------------

read_arguments() {
  # The commands that this script starts must not get the key in their environment, where other
  # programs of this user can read it. `unset` also ends the export of such a variable.
  unset key_value master_key http_body answer token
  key_value=${PROVISION_KEY_VALUE-$default_key_value}
  unset PROVISION_KEY_VALUE

  # random-number for RandomNumber. A group's name has 90 characters at most.
  name_in_words=$(lower "$(printf %s "$function_name" |
    LC_ALL=C sed -e 's/\([a-z0-9]\)\([A-Z]\)/\1-\2/g' -e 's/[_-][_-]*/-/g')")
  default_group=rg-${name_in_words:0:87}

  subscription=${PROVISION_SUBSCRIPTION-}
  resource_group=${PROVISION_RESOURCE_GROUP-$default_group}
  location=${PROVISION_LOCATION-$default_location}
  plan=${PROVISION_PLAN-flex}
  app=${PROVISION_APP-}
  storage=${PROVISION_STORAGE-}
  key_name=${PROVISION_KEY_NAME-$default_key_name}
  timeout=${PROVISION_TIMEOUT-$default_timeout}
  dry_run=false delete=false update=false no_logs=false yes=false
  local option key_file
  while [[ $# -gt 0 ]]; do
    # --key-name sets $key_name, and so on.
    option=${1#--}
    option=${option//-/_}
    case $1 in
      --subscription | --resource-group | --location | --plan | --app | --storage | \
        --key-name | --key-file)
        [[ $# -ge 2 ]] || refuse "$1 needs a value; ./provision.sh --help lists the options"
        printf -v "$option" %s "$2"
        shift
        ;;
      --no-logs | --update | --dry-run | --delete | --yes) printf -v "$option" true ;;
      --help | -h) usage && exit ;;
      *) refuse "unknown option '$1'; ./provision.sh --help lists the options" ;;
    esac
    shift
  done
  group=$resource_group

  key_origin=PROVISION_KEY_VALUE
  if [[ -n ${key_file+given} ]]; then
    key_origin="--key-file '$key_file'"
    [[ $key_file != - ]] || key_file=/dev/stdin
    # The substitution drops the newline that editors put at the end of a file.
    key_value=$(cat -- "$key_file" 2>/dev/null) ||
      refuse "$key_origin can't be read: give a file with the access key's value, or -"
  fi
  # As Azure writes it: "West US 2" is westus2.
  location=$(lower "${location// /}")
}

# What Azure would refuse halfway through is refused before anything is created.
check_arguments() {
  # In other locales a range such as a-z may hold more letters.
  local LC_ALL=C
  [[ $group =~ ^[A-Za-z0-9_.\(\)-]{1,90}$ && $group != *. ]] ||
    refuse "resource group '$group': give 1 to 90 letters, digits, hyphens, underscores," \
      'periods and parentheses, with no period at the end'
  [[ -z $storage || $storage =~ ^[a-z0-9]{3,24}$ ]] ||
    refuse "storage account '$storage': give 3 to 24 lower-case letters and digits"
  [[ -z $app || $app =~ ^[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]$ ]] ||
    refuse "function app '$app': give 2 to 60 letters, digits and hyphens, no hyphen at either end"
  [[ $location =~ ^[a-z0-9]+$ ]] ||
    refuse "location '$location': give a name out of 'az account list-locations'"
  [[ $plan == flex || $plan == consumption ]] || refuse "plan '$plan': give flex or consumption"
  [[ $key_name =~ ^[A-Za-z0-9][A-Za-z0-9-]{0,126}$ ]] ||
    refuse "key name '$key_name': give 1 to 127 letters, digits and hyphens, not a hyphen first"
  [[ $timeout =~ ^[1-9][0-9]{0,4}$ ]] ||
    refuse "PROVISION_TIMEOUT is '$timeout': give seconds, from 1 to 99999"
  [[ -n $key_value ]] ||
    refuse "$key_origin is empty: give the access key's value, or leave it out"
  # A key travels in a header, which holds one line, has no agreed encoding beyond ASCII and
  # loses the spaces at its ends. The value itself is not shown.
  [[ $key_value =~ ^[!-~]([\ -~]*[!-~])?$ ]] ||
    refuse "the access key's value: give printable ASCII characters, with no line break and" \
      'with no space at either end'
}

# --- Prerequisites ------------------------------------------------------------------------------

# Looks for everything that is needed, and names all that is missing at once.
check_prerequisites() {
  local version missing=''
  if has az; then need_login; else lacks 'az, the Azure CLI' "$(how_to_install az)"; fi
  if ! $delete; then
    [[ -f $function_name/function.json ]] ||
      refuse "there is no $function_name/function.json: in provision.sh, set function_name to" \
        "the name of a function's folder"
    functions=(*/function.json)
    functions=("${functions[@]%/function.json}")
    if ! has func; then
      lacks 'func, the Azure Functions Core Tools' "$(how_to_install func)"
    else
      # It may print more before its version.
      version=$(func --version 2>&1 | tail -n 1) || true
      [[ $(as_number "$version") -ge $(as_number "$oldest_func") ]] ||
        lacks "func $oldest_func or newer (this one says: $version)" "$(how_to_install func)"
    fi
    has curl || lacks curl 'sudo apt-get install curl'
    has cargo || lacks 'cargo, of Rust' \
      "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    # What build.sh links with.
    if [[ $(uname -sm) != 'Linux x86_64' ]]; then
      has cargo-zigbuild || lacks cargo-zigbuild 'cargo install cargo-zigbuild'
    else
      has cc || lacks 'cc, a C compiler' 'sudo apt-get install build-essential'
    fi
  fi
  [[ -z $missing ]] || refuse "not ready; nothing was changed. What is missing:$missing"
}

# Of a version such as 4.0.6821, or what begins like that.
as_number() {
  local major minor patch
  IFS=. read -r major minor patch <<<"${1%%[!0-9.]*}"
  echo "$(((major * 1000 + minor) * 1000000 + ${patch%%.*}))"
}

need_login() {
  get_token && return
  case $(said) in
    *'az login'*) lacks 'being signed in to Azure' 'az login' ;;
    *) lacks "the subscription '$subscription' ($(said))" 'az account list --output table' ;;
  esac
}

# The access token is for func, and tells whether the login still holds. A subscription's name
# becomes an id, for it is the id that names are derived from.
get_token() {
  token=$(azure account get-access-token ${subscription:+--subscription "$subscription"} \
    --query '[[subscription, expires_on, accessToken]]' --output tsv) || return 1
  subscription=${token%%$'\t'*}
  token=${token#*$'\t'}
  token_expires=${token%%$'\t'*}
  token=${token#*$'\t'}
}

has() { command -v "$1" >/dev/null; }
lacks() { missing+=$'\n'"  - $1"$'\n'"    mend it with: $2"; }

how_to_install() {
  case $(uname -s):$1 in
    Darwin:az) echo 'brew install azure-cli' ;;
    Darwin:func) echo 'brew tap azure/functions && brew install azure-functions-core-tools@4' ;;
    *:az) echo 'curl -sL https://aka.ms/InstallAzureCLIDeb | sudo bash' ;;
    *) echo 'npm install --global azure-functions-core-tools@4' ;;
  esac
}

derive_names() {
  local hash from=$subscription/$group words=${name_in_words:0:49} letters=${name_in_words//-/}
  # A name that is cut short still differs from another one with the same beginning.
  [[ ${#letters} -le 14 ]] || from+=/$function_name
  # What --delete has to be told again.
  given_names=${app:+ --app $app}${storage:+ --storage $storage}
  # Azure takes Group and group for the same.
  hash=$(short_hash "$(lower "$from")")
  # Of at most 60 characters and of at most 24, along with the 10 of the hash.
  app=${app:-${words%-}-$hash}
  storage=${storage:-${letters:0:14}$hash}
  # Not named after the app itself, whose name can be too long or too short for these.
  hash=$(short_hash "$(lower "$app")")
  container=app-package-$hash
  # Both the Log Analytics workspace and the Application Insights component.
  logs=logs-$hash
  group_id=/subscriptions/$subscription/resourceGroups/$group
  component_id=$group_id/providers/Microsoft.Insights/components/$logs
  app_id=$group_id/providers/Microsoft.Web/sites/$app
  show_app=(resource show --ids "$app_id" --api-version 2024-04-01 --query
    "[[properties.state, properties.defaultHostName, properties.sku, tags.\"$tag_name\"]]")
}

short_hash() {
  printf %s "$1" | if has sha256sum; then sha256sum; else shasum -a 256; fi | head -c 10
}

announce() {
  printf '%s in Azure%s\n' "$function_name" "$(! $dry_run || echo ' (dry run: nothing is changed)')"
  printf '  %-16s %s\n' subscription "$subscription" 'resource group' "$group" \
    location "$location" 'storage account' "$storage" 'function app' "$app" plan "$plan"
}

# --- Step 1: resource group, storage account, logs ----------------------------------------------

prepare() {
  group_was_there=false group_is_ours=true app_is_there=false
  if settles "resource group $group" group show --name "$group" \
    --query "[[properties.provisioningState, tags.\"$tag_name\"]]"; then
    group_was_there=true
    [[ $answer == *$'\t'"$tag_value" ]] || group_is_ours=false
    say "resource group $group is there"
    ! find_app || app_is_there=true
  fi
  ! $app_is_there || return 0
  check_location
  $group_was_there || change 'creating the resource group' \
    group create --name "$group" --location "$location" --tags "$tag_name=$tag_value"

  # The workspace first: it goes on being made for some seconds (100, 102 of the recordings).
  $no_logs || change 'creating the Log Analytics workspace' monitor log-analytics workspace create \
    --workspace-name "$logs" --resource-group "$group" --location "$location" \
    --tags "$tag_name=$tag_value"
  if $group_was_there && settles "storage account $storage" storage account show \
    --name "$storage" --resource-group "$group" --query '[[provisioningState]]'; then
    say "storage account $storage is there"
  else
    change 'creating the storage account' \
      storage account create --name "$storage" --resource-group "$group" \
      --location "$location" --tags "$tag_name=$tag_value" --sku Standard_LRS --kind StorageV2 \
      --https-only true --min-tls-version TLS1_2 --allow-blob-public-access false
  fi
  # Nothing changes if it is there.
  [[ $plan != flex ]] || change 'creating the container for the deployment' \
    storage container-rm create --name "$container" \
    --storage-account "$storage" --resource-group "$group"

  # Its own command is not in az itself, but in an extension.
  $no_logs || change 'creating the Application Insights component' resource create \
    --id "$component_id" --api-version 2020-02-02 --is-full-object --properties "{
    \"location\": \"$location\", \"tags\": {\"$tag_name\": \"$tag_value\"}, \"kind\": \"web\",
    \"properties\": {\"Application_Type\": \"web\", \"WorkspaceResourceId\":
    \"$group_id/providers/Microsoft.OperationalInsights/workspaces/$logs\"}}"
}

check_location() {
  local list='list-consumption-locations' locations
  [[ $plan != flex ]] || list='list-flexconsumption-locations'
  locations=$(azure functionapp "$list" --subscription "$subscription" \
    --query '[].name' --output tsv) || failed "asking for the locations of the plan $plan"
  lower "${locations// /}" | grep -Fqx -- "$location" ||
    fail "the location $location does not offer the plan $plan; nothing was changed. These do:" \
      "az functionapp $list --output table"
}

# The app, if it is there. Not by `az functionapp show`, which asks for much more.
find_app() {
  local origin
  exists "${show_app[@]}" || return 1
  IFS=$'\t' read -r state host its_plan origin <<<"$answer"
  # Publishing would replace the code of somebody else's app.
  [[ $origin == "$tag_value" ]] ||
    fail "function app $app is there, but was not created by this script: give another name" \
      'with --app'
}

find_app_to_update() {
  find_app || fail "there is no function app $app in the resource group $group: leave --update out"
  say "function app $app is there"
}

# --- Step 2: function app -----------------------------------------------------------------------

create_app() {
  if $app_is_there; then
    say "function app $app is there"
    [[ $plan:$its_plan == flex:FlexConsumption || $plan:$its_plan == consumption:Dynamic ]] ||
      say "it stays on its plan, which is not $plan: to change that, delete the app first"
    check_logs
    return
  fi
  ! $group_is_ours || ! $group_was_there || [[ $plan != flex ]] || delete_empty_plans

  local logs_options=(--disable-app-insights true) plan_options
  $no_logs || logs_options=(--app-insights "$logs")
  plan_options=(--consumption-plan-location "$location" --os-type Linux --functions-version 4)
  [[ $plan != flex ]] || plan_options=(--flexconsumption-location "$location"
    --deployment-storage-container-name "$container")
  creating_app=true
  change 'creating the function app' functionapp create --name "$app" --resource-group "$group" \
    --storage-account "$storage" --runtime custom "${plan_options[@]}" "${logs_options[@]}" \
    --https-only true --tags "$tag_name=$tag_value" --query \
    '[[state || properties.state, defaultHostName || properties.defaultHostName]]'
  creating_app=false
  ! $dry_run || return 0
  IFS=$'\t' read -r state host <<<"$answer"
  check_logs
}

# Reads back whether the app sends its logs anywhere: nothing else would ever tell.
check_logs() {
  has_logs=$(azure rest --method post --output tsv \
    --query "contains(keys(properties), 'APPLICATIONINSIGHTS_CONNECTION_STRING')" \
    --url "$app_id/config/appsettings/list?api-version=2024-04-01") ||
    failed 'reading the settings of the app'
  has_logs=$(lower "$has_logs")
  if ! $has_logs && ! $no_logs; then
    say 'it has no logs, and nothing is changed of an app that is there: connect Application' \
      'Insights in the portal, or delete the app and run this again'
  elif $has_logs && $no_logs; then
    say 'its logs stay: --no-logs is for an app that is not there yet'
  fi
}

# `az functionapp create` makes a Flex Consumption plan before the app, and leaves it behind if it
# is interrupted in between. In a group of others it may be for somebody's app in the making.
delete_empty_plans() {
  local name
  exists functionapp plan list --resource-group "$group" --query "$empty_plans" || return 0
  for name in $answer; do
    change "deleting plan $name, left by an interrupted run" \
      functionapp plan delete --name "$name" --resource-group "$group" --yes
  done
}

empty_plans="[?sku.tier=='FlexConsumption' && to_string(numberOfSites)=='0'].name"

# --- Step 3: wait for the host ------------------------------------------------------------------

await_host() {
  local deadline=$((SECONDS + timeout))
  start_ticker 'waiting for the host'
  while :; do
    # The host name can carry a random part and a region: it is Azure's to say.
    if [[ $state == Running ]]; then
      request GET "https://$host/"
      # Any answer will do: what stands at the root is of no interest.
      [[ $http_status == 000 ]] || break
    fi
    [[ $SECONDS -lt $deadline ]] ||
      fail "the host does not answer after $timeout s (state of the app: $state; URL:" \
        "https://$host/)" "$(said)"
    sleep 5
    if answer=$(azure "${show_app[@]}" --output tsv); then
      IFS=$'\t' read -r state host _ <<<"$answer"
    else
      judge || failed 'asking for the state of the app'
      state=unknown
    fi
  done
  stop_ticker
  say "https://$host answers"
}

# --- Step 4: build and publish ------------------------------------------------------------------

publish() {
  patiently 'building' ./build.sh || fail './build.sh failed:' "$(said)"
  say 'built'
  # Publishing replaces the whole package, so another attempt can do no harm.
  insist 'publishing' run_func || failed 'func azure functionapp publish'
  say 'published'
}

# The token by standard input: left to itself, func takes one for the tenant of az's default
# subscription. A fresh clone has no local.settings.json to tell func the worker runtime.
run_func() {
  [[ $token_expires -gt $(($(date +%s) + 600)) ]] || get_token || return 1
  printf %s "$token" | FUNCTIONS_WORKER_RUNTIME=custom func azure functionapp publish "$app" \
    --subscription "$subscription" --access-token-stdin
}

# --- Step 5: access key -------------------------------------------------------------------------

# Not by the Azure CLI, which takes the key's value as an argument.
assign_keys() {
  local name deadline=$((SECONDS + timeout)) master_key=''
  start_ticker 'setting the function key'
  for name in "${functions[@]}"; do
    describe "$name"
    [[ $level == function ]] || continue
    http_status=none
    until [[ $http_status == 20[01] ]]; do
      if [[ -n $master_key ]] || get_master_key; then
        # In lower case, the name of the function works on every host.
        request PUT "https://$host/admin/functions/$(lower "$name")/keys/$key_name" "$master_key" \
          "{\"name\":\"$key_name\",\"value\":\"$(quoted "$key_value")\"}"
      fi
      case $http_status in
        200 | 201) continue ;;
        400)
          fail "the host refuses this value for the key $key_name (status 400): it may ask for" \
            "Azure's checksum. Generate one in the portal (Functions, $name, Function Keys)."
          ;;
        401) fail 'the host refuses the master key (status 401): it may be new. Run this again.' ;;
        none | 000 | 404 | 5??) ;; # The host restarts with what has been published.
        *) fail "the host answers status $http_status to the key $key_name" ;;
      esac
      [[ $SECONDS -lt $deadline ]] ||
        fail "the host takes no key after $timeout s (last status: $http_status)" "$(said)"
      sleep 5
    done
    say "$name: the key $key_name is set"
  done
  # The answer repeats the key.
  unset http_body
  stop_ticker
}

# Resource Manager has it from the host, and gives none while that restarts.
get_master_key() {
  master_key=$(azure rest --method post --output tsv --query masterKey \
    --url "$app_id/host/default/listkeys?api-version=2024-04-01") ||
    judge || failed 'asking for the master key'
  [[ -n $master_key ]]
}

# --- Step 6: check ------------------------------------------------------------------------------

check() {
  local name url
  start_ticker 'calling the functions'
  for name in "${functions[@]}"; do
    describe "$name"
    url=https://$host/$path
    expect "$([[ $level == anonymous ]] && echo 200 || echo 401)" "$name without a key" "$url" ''
    [[ $level == function ]] || continue
    if $update; then
      # The key that is set is the one to check with.
      key_value=$(azure rest --method post --output tsv --query "\"$key_name\"" \
        --url "$app_id/functions/$name/listkeys?api-version=2024-04-01") ||
        failed "asking for the key $key_name of $name"
      [[ -n $key_value ]] || fail "$name has no key $key_name: give another name with --key-name"
    fi
    expect 401 "$name with a wrong key" "$url" "x$key_value"
    expect 200 "$name with the key in the header" "$url" "$key_value"
    expect 200 "$name with the key in ?code=" "$url?code=$(percent_encoded "$key_value")" ''
  done
  stop_ticker
}

# How to call a function, by its function.json: leaves $level, $path, $method (empty for GET), curl's
# $options and $answers.
describe() {
  local file=$1/function.json prefix methods
  level=$(lower "$(member authLevel "$file")")
  level=${level:-function}
  prefix=$(member routePrefix host.json)
  path=$(member route "$file" | sed 's/{[^}]*}/1/g')
  path=${prefix:-api}/${path:-$1}
  methods=$(tr -d '[:space:]' <"$file" | sed -n 's/.*"methods":\["\([^]]*\)"\].*/\1/p')
  method=$(printf %s "${methods%%\"*}" | tr '[:lower:]' '[:upper:]')
  [[ ! $(lower "\"$methods\"") == *'"get"'* ]] || method=''
  options=() answers=''
  sample_call "$1"
}

# member NAME FILE: the text of a JSON file's one member of that name.
member() { tr -d '\n' <"$2" | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }

# expect STATUS HOW URL KEY
expect() {
  local deadline=$((SECONDS + timeout)) refusals=0
  while :; do
    request "$method" "$3" "$4" '' ${options[@]+"${options[@]}"}
    [[ $http_status != "$1" ]] || break
    case $http_status in
      # The host may restart still, or once more.
      000 | 404 | 5??) [[ $SECONDS -lt $deadline ]] || break ;;
      401) [[ $((refusals += 1)) -lt $stale_keys && $SECONDS -lt $deadline ]] || break ;;
      *) break ;;
    esac
    sleep 5
  done
  [[ $http_status != 401 || $1 == 401 ]] || fail "$2: the answer has status 401." \
    'The host has not taken the key up: run this again, or restart the app in the portal.'
  [[ $http_status == "$1" ]] ||
    fail "$2: the answer has status $http_status, not $1" "$(said)"
  [[ $1 == 200 ]] || http_body=''
  [[ $1 != 200 || -z $answers || $http_body =~ $answers ]] ||
    fail "$2: the answer '$http_body' does not match $answers"
  say "$2: $1${http_body:+, $http_body}"
}

sum_up() {
  ! $dry_run || { printf '\nNothing was changed.\n' && return; }
  local show_key logs_are url call='curl --header @-'
  describe "$function_name"
  url=https://$host/$path
  [[ -z $method ]] || call+=" --request $method"
  [[ ${#options[@]} -eq 0 ]] || call+=$(printf ' %q' "${options[@]}")
  show_key="az functionapp function keys list --subscription $subscription"
  show_key+=" --resource-group '$group' --name $app --function-name $function_name"
  show_key+=" --query '\"$key_name\"' --output tsv"
  logs_are='It has no logs.'
  ! ${has_logs-false} ||
    logs_are='Its logs are in Application Insights and can cost money: see docs/deployment.md'
  ! $update || logs_are='Nothing else was changed.'
  cat <<SUMMARY

Done in $SECONDS s. $function_name is at

  $url

$logs_are

Its access key is printed by

  $show_key

and can be used without being shown or stored:

  $show_key |
    sed 's/^/x-functions-key: /' | $call $url

To delete everything:

  ./provision.sh --delete --subscription $subscription --resource-group '$group'$given_names
SUMMARY
}

# --- Delete -------------------------------------------------------------------------------------

delete_all() {
  if ! exists group show --name "$group" \
    --query "[[properties.provisioningState, tags.\"$tag_name\"]]"; then
    echo "Nothing to delete: there is no resource group $group."
  elif [[ $answer == Deleting$'\t'* ]]; then
    echo "The resource group $group is being deleted already."
  elif [[ $answer == *$'\t'"$tag_value" ]]; then
    exists resource list --resource-group "$group" --query '[].[type, name]'
    confirm "the resource group $group and all that is in it:" "$answer"
    delete_workspace
    change 'deleting the resource group' group delete --name "$group" --yes
  else
    delete_from_group
  fi
}

# By force: otherwise Azure keeps its name for 14 days, and the next run needs it. Nothing happens
# if it is not there.
delete_workspace() {
  change "deleting the Log Analytics workspace $logs" monitor log-analytics workspace delete \
    --workspace-name "$logs" --resource-group "$group" --force --yes
}

# In a group that was there before: only what bears our tag, and the alert rule that Azure adds for
# our component. The action group that Azure adds too is for all components of the group.
delete_from_group() {
  local found shared rule="Failure Anomalies - $logs"
  exists resource list --resource-group "$group" --query "[?name=='$rule' ||
    name=='Application Insights Smart Detection' || tags.\"$tag_name\"=='$tag_value' &&
    (name=='$app' || name=='$storage' || name=='$logs')].[type, name]"
  shared=$(grep 'Smart Detection$' <<<"$answer") || true
  found=$(grep -v 'Smart Detection$' <<<"$answer") || true
  # In a storage account of others, only the container is ours.
  if [[ $found != */[sS]torage* ]] && exists storage container-rm show --name "$container" \
    --storage-account "$storage" --resource-group "$group" --query '[[type, name]]'; then
    found+=${found:+$'\n'}$answer
  fi
  [[ -n $found ]] ||
    { echo "Nothing to delete: there is nothing of ours in the resource group $group." && return; }
  confirm "from the resource group $group, which this script has not created:" "$found"
  found=$(lower "$found")
  # Azure deletes the app's plan along with the last app on it.
  [[ $found != */sites$'\t'* ]] || change "deleting function app $app" \
    functionapp delete --name "$app" --resource-group "$group"
  [[ $found != */smartdetectoralertrules$'\t'* ]] || change "deleting alert rule $rule" \
    resource delete --api-version 2021-04-01 \
    --ids "$group_id/providers/microsoft.alertsmanagement/smartDetectorAlertRules/$rule"
  [[ $found != */components$'\t'* ]] || change "deleting component $logs" \
    resource delete --api-version 2020-02-02 --ids "$component_id"
  [[ $found != */workspaces$'\t'* ]] || delete_workspace
  [[ $found != */storageaccounts$'\t'* ]] || change "deleting storage account $storage" \
    storage account delete --name "$storage" --resource-group "$group" --yes
  [[ $found != */containers$'\t'* ]] || change "deleting container $container" \
    storage container-rm delete --name "$container" \
    --storage-account "$storage" --resource-group "$group" --yes
  [[ -z $shared ]] || say "left: ${shared#*$'\t'}, which Azure makes for all components of a group"
}

confirm() {
  local reply=''
  printf 'This deletes %s\n' "$1"
  [[ -z $2 ]] || printf '%s\n' "$2" | sed 's/^/  /'
  if ! $yes && ! $dry_run; then
    [[ -t 0 ]] || refuse 'nothing was deleted: there is no terminal to ask on; give --yes'
    read -r -p 'Delete? [y/N] ' reply || true
    [[ $reply == [yY]* ]] || { echo 'Nothing was deleted.' && exit; }
  fi
  begun=true
}

# --- Azure --------------------------------------------------------------------------------------

# The Azure CLI. What it has to say of a failure is kept for `said`.
azure() { az "$@" --only-show-errors 2>"$errors"; }

# Leaves in $verdict whether the error of the last command waits, ends or is unknown, and in $reason
# what is the matter or what to do. Fails for one that ends. The texts are as recorded.
judge() {
  verdict=ends
  case $(said) in
    # Resource Manager's words for whatever the host of the app answers it, 403 included.
    *' from host runtime.'*) verdict=waits reason='the host is not ready' ;;
    *"Can't find app with name"*) verdict=waits reason='Azure does not find the app yet' ;;
    *'archive... (ServiceUnavailable)'*) verdict=waits reason='the deployment site is not up yet' ;;
    *ResourceRequestsThrottled*) verdict=waits reason='Azure takes no more requests for now' ;;
    *StorageAccountIsNotProvisioned*) verdict=waits reason='the storage account is not ready' ;;
    *RequestDisallowedByPolicy*) reason='a policy forbids this: ask its owner for an exemption' ;;
    *StorageAccountAlreadyTaken*) reason="$storage is taken: give another name with --storage" ;;
    *'Website with given name'*) reason="$app is taken: give another name with --app" ;;
    *'without additional quota'*)
      reason="no quota is left in $location: ask for more in the portal, or give another --location"
      ;;
    *LocationNotAvailable*) reason="$location does not offer this: give another --location" ;;
    *'Requested feature is not available in resource group'*)
      reason="$group can't have the plan $plan in $location: give another --resource-group"
      ;;
    *AuthorizationFailed*) reason='you may not do this: ask for the role Contributor' ;;
    *'az login'* | *InvalidAuthenticationToken*) reason='the login has run out: az login' ;;
    *) verdict=unknown ;;
  esac
  [[ $verdict != ends ]]
}

# failed WHAT: ends the step for the error of the last command.
failed() {
  judge || true
  case $verdict in
    ends) fail "$1 failed: $reason."$'\n'"Azure said: $(said | head -n 1)" ;;
    waits) fail "$1 failed: $reason. Run this again later." ;;
    *) fail "$1 failed:" "$(said)" ;;
  esac
}

# insist WHAT COMMAND...: runs the command, again for as long as its error is one that passes.
insist() {
  local deadline=$((SECONDS + timeout)) told=''
  until patiently "$@"; do
    judge && [[ $verdict == waits && $SECONDS -lt $deadline ]] || return 1
    [[ $told == "$reason" ]] || say "$1: $reason, trying again"
    told=$reason
    sleep 5
  done
}

# Asks for a resource, and leaves what --query selects in $answer. Fails if it is not there.
exists() {
  local status=0
  answer=$(azure "$@" --subscription "$subscription" --output tsv) || status=$?
  case $status in
    0) ;;
    3) return 1 ;; # The exit code of the Azure CLI for what is not found.
    *) failed "az $1 $2" ;;
  esac
}

# settles WHAT ARGUMENT...: exists, but waits while the answer begins with a state that passes.
settles() {
  local what=$1 deadline=$((SECONDS + timeout))
  while exists "${@:2}"; do
    if $dry_run || [[ ! $answer =~ ^(Creating|ResolvingDNS|Deleting) ]]; then
      stop_ticker
      return
    fi
    [[ $SECONDS -lt $deadline ]] ||
      fail "$what is ${answer%%$'\t'*}, even after $timeout s. Run this again later."
    [[ -n ${ticker-} ]] || start_ticker "waiting: $what is ${answer%%$'\t'*}"
    sleep 5
  done
  stop_ticker
  return 1
}

# change WHAT ARGUMENT...: the Azure CLI for anything that is not just looking. Leaves the last line
# of what --query selects in $answer.
change() {
  local what=$1 output=none
  shift
  set -- az "$@" --subscription "$subscription"
  if $dry_run; then
    say "would run:$(printf ' %q' "$@")"
    return
  fi
  # What is created is printed along with its secrets, unless the output is off or selected.
  [[ " $* " != *' --query '* ]] || output=tsv
  insist "$what" "$@" --output "$output" --only-show-errors || failed "$what"
  answer=$(said | tail -n 1)
  say "$what: done"
}

# request METHOD URL [KEY [BODY [OPTION]...]]: leaves $http_status, 000 for no answer at all, and
# $http_body. An empty METHOD is the one that curl's OPTIONs ask for. curl gets by standard input
# what can have the key in it. The user's own settings (~/.curlrc) could write it somewhere.
request() {
  local answer
  answer=$(
    {
      [[ -z $1 ]] || printf 'request = "%s"\n' "$1"
      printf 'url = "%s"\n' "$(quoted "$2")"
      [[ -z ${3-} ]] || printf 'header = "x-functions-key: %s"\n' "$(quoted "$3")"
      [[ -z ${4-} ]] || printf 'header = "Content-Type: application/json"\ndata-binary = "%s"\n' \
        "$(quoted "$4")"
    } | curl --disable --config - --globoff --silent --show-error --max-time 60 \
      --write-out '\n%{http_code}' "${@:5}" 2>"$errors"
  ) || true
  http_status=${answer##*$'\n'}
  http_body=${answer%$'\n'*}
}

# Between double quotes, printable ASCII has the same rule in JSON and in curl's configuration.
quoted() {
  local text=${1//\\/\\\\}
  printf %s "${text//\"/\\\"}"
}

lower() { printf %s "$1" | tr '[:upper:]' '[:lower:]'; }
percent_encoded() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'; }

# --- Telling how it goes ------------------------------------------------------------------------

step() {
  local began=$SECONDS
  step_number=$((${step_number-0} + 1))
  step_title=$1
  begun=true
  printf '\n[%s/%s] %s\n' "$step_number" "$($update && echo 3 || echo 6)" "$step_title"
  if $dry_run && [[ -n ${3-} ]]; then say "would $3"; else "$2"; fi
  $dry_run || printf '      (%s s)\n' "$((SECONDS - began))"
}

say() {
  clear_ticker
  printf '      %s\n' "$*"
}

# patiently WHAT COMMAND...: runs it with a sign of life, and keeps what it prints for `said`.
patiently() {
  local status=0
  start_ticker "$1"
  shift
  # In a shell of its own, so that what is said on an interruption does not go there, too.
  ("$@") >"$errors" 2>&1 </dev/null || status=$?
  stop_ticker
  return "$status"
}

said() { cat "$errors"; } # The error of the last command.

# Shows every second how long it takes: on a terminal; elsewhere with a line each 30 s.
start_ticker() {
  local parent=$$ began=$SECONDS told=0 elapsed
  # No output of the ticker's sleep: it outlives the ticker and would keep a pipe open.
  (
    trap - HUP INT TERM EXIT
    while kill -0 "$parent" 2>/dev/null; do
      elapsed=$((SECONDS - began))
      if [[ -t 1 ]]; then
        printf '\r\033[K      %s … %s s' "$1" "$elapsed"
      elif [[ $((elapsed - told)) -ge 30 ]]; then
        printf '      %s … %s s\n' "$1" "$elapsed"
        told=$elapsed
      fi
      sleep 1 >/dev/null 2>&1
    done
  ) &
  ticker=$!
}

stop_ticker() {
  [[ -n ${ticker-} ]] || return 0
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=''
  clear_ticker
}

clear_ticker() { [[ ! -t 1 ]] || printf '\r\033[K'; }

# Before anything has begun: what is wrong with the request.
refuse() {
  explained=true
  printf 'provision.sh: %s\n' "$*" >&2
  exit 2
}

# fail MESSAGE-WORD...: ends a step.
fail() { end 1 "$*"; }

end() {
  stop_ticker
  explained=true
  printf 'provision.sh: %s%s\n' "${step_number:+step $step_number ($step_title): }" "$2" >&2
  again
  exit "$1"
}

again() {
  ! ${begun-false} || echo 'provision.sh: running it again goes on from there.' >&2
  ! ${creating_app-false} || $group_is_ours || [[ $plan != flex ]] || cat >&2 <<LEFT
provision.sh: a plan without an app may be left; this lists such plans: az functionapp plan list \
--subscription $subscription --resource-group '$group' --query "$empty_plans"
LEFT
}

# Has the last word on a failure that nothing above has foreseen.
finish() {
  local status=$? words
  words=$(said)
  rm -f "$errors"
  stop_ticker
  [[ $status -eq 0 ]] || ${explained-false} ||
    end "$status" "unexpected failure, status $status. $words"
}

main "$@"
