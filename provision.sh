#!/usr/bin/env bash
#
# Brings the function to Azure and checks that it answers to its access key:
#
#   1. resource group and storage account      4. build and publish
#   2. function app                            5. access key
#   3. wait for the host                       6. check, with real calls
#
# Each step first looks whether it has been done, so the script can be run again at any time and
# goes on from where it ended. No secret is given to a command as an argument, where `ps` shows it
# to everybody on the machine, nor printed, nor written to a file.
#
# Runs on bash 3.2 (macOS) and later.

[ -n "${BASH_VERSION-}" ] || { echo 'provision.sh: run it with bash: ./provision.sh' >&2; exit 2; }
# Started as `sh`, bash lacks some of what is used here.
set +o posix
set -euo pipefail

# --- The function: all that differs from one to another -----------------------------------------

# The folder of function.json, and so the function's name. The names in Azure follow from it.
function_name=RandomNumber
# How the check at the end calls it: options of curl. None stand for a plain GET; a POST takes for
# example (--header 'Content-Type: application/json' --data '{"name":"Ada"}').
check_options=()
# What it then answers: an extended regular expression.
check_answer='^\{"value":[1-9][0-9]{0,2}\}$'

# ------------------------------------------------------------------------------------------------

usage() {
  cat <<USAGE
Creates the $function_name function in Azure, publishes it, sets its access key and checks it.
Running it again changes nothing that is in place already.

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

# Marks what this script has created, so that it deletes nothing else.
tag_name=created-by
tag_value=random-number-provision.sh
# How often a running instance can refuse a key just set, when it is asked each 5 s: it looks for
# new keys at most once a minute (`SecretManager` in Azure/azure-functions-host). Twice that.
stale_keys=24
step_count=6

main() {
  read_arguments "$@"
  check_arguments
  errors=$(mktemp)
  trap finish EXIT
  trap 'interrupted 129' HUP
  trap 'interrupted 130' INT
  trap 'interrupted 143' TERM

  if $delete; then
    check_tools_for_delete
    derive_names
    delete_all
    return
  fi
  cd "$(dirname "${BASH_SOURCE[0]}")"
  [[ -f $function_name/function.json ]] ||
    refuse "there is no $function_name/function.json: in provision.sh, set function_name to the" \
      "name of the function's folder"
  check_prerequisites
  derive_names
  announce
  step 'Resource group and storage account' create_storage
  step 'Function app' create_app
  step 'Wait for the host' await_host
  step 'Build and publish' publish
  step 'Access key' assign_key
  step 'Check' check_endpoint
  sum_up
}

# --- Arguments ----------------------------------------------------------------------------------

read_arguments() {
  # The commands that this script starts have no business with the key: what they get in their
  # environment, others can read in /proc. Not even if a variable of that name was exported.
  unset key_value master_key http_body answer
  key_value=${PROVISION_KEY_VALUE-$default_key_value}
  unset PROVISION_KEY_VALUE

  # random-number for RandomNumber. A group's name has 90 characters at most.
  name_in_words=$(printf %s "$function_name" |
    LC_ALL=C sed -e 's/\([a-z0-9]\)\([A-Z]\)/\1-\2/g' -e 's/[_-][_-]*/-/g' |
    tr '[:upper:]' '[:lower:]')
  default_group=rg-${name_in_words:0:87}

  subscription=${PROVISION_SUBSCRIPTION-}
  group=${PROVISION_RESOURCE_GROUP-$default_group}
  location=${PROVISION_LOCATION-$default_location}
  plan=${PROVISION_PLAN-flex}
  app=${PROVISION_APP-}
  storage=${PROVISION_STORAGE-}
  key_name=${PROVISION_KEY_NAME-$default_key_name}
  timeout=${PROVISION_TIMEOUT-$default_timeout}
  local key_file=''
  key_origin=PROVISION_KEY_VALUE
  dry_run=false delete=false yes=false
  while [[ $# -gt 0 ]]; do
    case $1 in
      --subscription | --resource-group | --location | --plan | --app | --storage | \
        --key-name | --key-file)
        [[ $# -ge 2 ]] || refuse "$1 needs a value; ./provision.sh --help lists the options"
        ;;
    esac
    case $1 in
      --subscription) subscription=$2 ;;
      --resource-group) group=$2 ;;
      --location) location=$2 ;;
      --plan) plan=$2 ;;
      --app) app=$2 ;;
      --storage) storage=$2 ;;
      --key-name) key_name=$2 ;;
      --key-file) key_file=$2 key_origin="--key-file '$2'" ;;
      --dry-run) dry_run=true ;;
      --delete) delete=true ;;
      --yes) yes=true ;;
      --help | -h)
        usage
        exit
        ;;
      *) refuse "unknown option '$1'; ./provision.sh --help lists the options" ;;
    esac
    case $1 in
      --dry-run | --delete | --yes) shift ;;
      *) shift 2 ;;
    esac
  done

  if [[ $key_origin != PROVISION_KEY_VALUE ]]; then
    [[ $key_file != - ]] || key_file=/dev/stdin
    # The substitution drops the newline that editors put at the end of a file.
    key_value=$(cat -- "$key_file" 2>/dev/null) ||
      refuse "$key_origin can't be read: give a file with the access key's value, or - for" \
        'standard input'
  fi
  # As Azure writes it: "West US 2" is westus2.
  location=$(printf %s "$location" | tr '[:upper:]' '[:lower:]' | tr -d ' ')
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
    refuse "function app '$app': give 2 to 60 letters, digits and hyphens, with no hyphen at" \
      'either end'
  [[ $location =~ ^[a-z0-9]+$ ]] ||
    refuse "location '$location': give a name out of 'az account list-locations'"
  [[ $plan == flex || $plan == consumption ]] ||
    refuse "plan '$plan': give flex or consumption"
  [[ $key_name =~ ^[A-Za-z0-9][A-Za-z0-9-]{0,126}$ ]] ||
    refuse "key name '$key_name': give 1 to 127 letters, digits and hyphens, with no hyphen" \
      'at the beginning'
  [[ $timeout =~ ^[1-9][0-9]{0,4}$ ]] ||
    refuse "PROVISION_TIMEOUT is '$timeout': give seconds, from 1 to 99999"
  [[ -n $key_value ]] ||
    refuse "$key_origin is empty: give the access key's value, or leave it out for" \
      "the walkthrough's"
  # A key travels in a header, which holds one line, has no agreed encoding beyond ASCII and
  # loses the spaces at its ends. The value itself is not shown.
  [[ $key_value =~ ^[!-~]([\ -~]*[!-~])?$ ]] ||
    refuse "the access key's value: give printable ASCII characters, with no line break and" \
      'with no space at either end'
}

# --- Prerequisites ------------------------------------------------------------------------------

# Looks for everything the steps need, and names all that is missing at once.
check_prerequisites() {
  local version
  missing=''
  need_azure_cli
  if ! has func; then
    lacks 'func, the Azure Functions Core Tools' "$(how_to_install func)"
  elif ! version=$(func --version 2>&1) || [[ $version != 4.* ]]; then
    lacks "func of version 4 (this one says: ${version%%$'\n'*})" "$(how_to_install func)"
  fi
  has curl || lacks curl "$(how_to_install curl)"
  has cargo || lacks 'cargo, of Rust' \
    "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  if has az && need_subscription; then
    need_location
  fi
  refuse_if_anything_is_missing
}

check_tools_for_delete() {
  missing=''
  need_azure_cli
  ! has az || need_subscription || true
  refuse_if_anything_is_missing
}

refuse_if_anything_is_missing() {
  [[ -z $missing ]] || refuse "not ready; nothing was changed. What is missing:$missing"
}

need_azure_cli() {
  has az || lacks 'az, the Azure CLI' "$(how_to_install az)"
}

need_subscription() {
  local id
  # A name becomes an id here, for it is the id that names are derived from.
  if ! id=$(azure account show ${subscription:+--subscription "$subscription"} \
    --query id --output tsv); then
    case $(said) in
      *'az login'*) lacks 'being signed in to Azure' 'az login' ;;
      *) lacks "the subscription '$subscription' ($(said))" 'az account list --output table' ;;
    esac
    return 1
  fi
  subscription=$id
}

need_location() {
  local list='list-consumption-locations' locations
  [[ $plan != flex ]] || list='list-flexconsumption-locations'
  if ! locations=$(azure functionapp "$list" --subscription "$subscription" \
    --query '[].name' --output tsv); then
    lacks "an answer of Azure to 'az functionapp $list' ($(said))" 'az login'
  elif ! printf '%s\n' "$locations" | tr '[:upper:]' '[:lower:]' | tr -d ' ' |
    grep -Fqx -- "$location"; then
    lacks "a location that offers the plan $plan ('$location' does not)" \
      "az functionapp $list --output table"
  fi
}

has() { command -v "$1" >/dev/null; }

lacks() {
  missing+=$'\n'"  - $1"$'\n'"    mend it with: $2"
}

how_to_install() {
  local kernel
  kernel=$(uname -s)
  case $kernel:$1 in
    Darwin:az) echo 'brew install azure-cli' ;;
    Darwin:func)
      echo 'brew tap azure/functions && brew install azure-functions-core-tools@4'
      ;;
    Darwin:curl) echo 'brew install curl' ;;
    *:az) echo 'curl -sL https://aka.ms/InstallAzureCLIDeb | sudo bash' ;;
    *:func) echo 'npm install --global azure-functions-core-tools@4' ;;
    *:curl) echo 'sudo apt-get install curl' ;;
  esac
}

# --- Names --------------------------------------------------------------------------------------

derive_names() {
  local hash from=$subscription/$group words=${name_in_words:0:49} letters=${name_in_words//-/}
  # A name that is cut short still differs from another one with the same beginning.
  [[ ${#letters} -le 14 ]] || from+=/$function_name
  # What --delete has to be told again.
  given_names=${app:+ --app $app}${storage:+ --storage $storage}
  # Azure takes Group and group for the same.
  hash=$(short_hash "$(printf %s "$from" | tr '[:upper:]' '[:lower:]')")
  # Of at most 60 characters and of at most 24, along with the 10 of the hash.
  app=${app:-${words%-}-$hash}
  storage=${storage:-${letters:0:14}$hash}
  # Left to itself, az makes another one up at each attempt. It can't be named after the app,
  # whose name can be longer and have letters that a container's can't.
  container=app-package-$(short_hash "$(printf %s "$app" | tr '[:upper:]' '[:lower:]')")
}

short_hash() {
  local sum
  if has sha256sum; then
    sum=$(printf %s "$1" | sha256sum)
  else
    sum=$(printf %s "$1" | shasum -a 256)
  fi
  printf %s "${sum:0:10}"
}

announce() {
  local mode=''
  ! $dry_run || mode=' (dry run: nothing is changed)'
  cat <<SUMMARY
$function_name in Azure$mode
  subscription     $subscription
  resource group   $group
  location         $location
  storage account  $storage
  function app     $app
  plan             $plan
SUMMARY
}

# --- Step 1: resource group and storage account -------------------------------------------------

create_storage() {
  created_group=true
  if exists group show --name "$group" --query "tags.\"$tag_name\""; then
    [[ $answer == "$tag_value" ]] || created_group=false
    say "resource group $group is there"
  else
    change 'creating the resource group' \
      group create --name "$group" --location "$location" --tags "$tag_name=$tag_value"
  fi

  if exists storage account show --name "$storage" --resource-group "$group"; then
    say "storage account $storage is there"
  else
    hint='If the name is taken, give another one with --storage: it is unique in all of Azure.'
    change 'creating the storage account' \
      storage account create --name "$storage" --resource-group "$group" \
      --location "$location" --sku Standard_LRS --kind StorageV2 --https-only true \
      --min-tls-version TLS1_2 --allow-blob-public-access false \
      --tags "$tag_name=$tag_value"
  fi

  if [[ $plan == flex ]]; then
    if exists storage container-rm show --name "$container" \
      --storage-account "$storage" --resource-group "$group"; then
      say "container $container is there"
    else
      change 'creating the container for the deployment' \
        storage container-rm create --name "$container" \
        --storage-account "$storage" --resource-group "$group"
    fi
  fi
}

# --- Step 2: function app -----------------------------------------------------------------------

create_app() {
  if exists functionapp show --name "$app" --resource-group "$group" \
    --query "[[tags.\"$tag_name\", properties.sku]]"; then
    # Publishing would replace the code of somebody else's app.
    [[ $answer == "$tag_value"$'\t'* ]] ||
      fail "function app $app is there, but was not created by this script: give another" \
        'name with --app'
    say "function app $app is there"
    # The Azure CLI shows this property of an app on Flex Consumption only.
    local its_plan=consumption
    [[ $answer != *$'\t'FlexConsumption ]] || its_plan=flex
    [[ $plan == "$its_plan" ]] ||
      say "it stays on its plan, which is not $plan: to change that, delete the app first"
    return
  fi
  settle_empty_plans

  hint='If the name is taken, give another one with --app: it can be unique in all of Azure.'
  local plan_options
  if [[ $plan == flex ]]; then
    plan_options=(--flexconsumption-location "$location" --runtime-version 1.0
      --deployment-storage-container-name "$container")
  else
    plan_options=(--consumption-plan-location "$location" --os-type Linux
      --functions-version 4)
  fi
  # Application Insights would bring a workspace in a resource group of its own, which would
  # outlive --delete.
  change 'creating the function app' \
    functionapp create --name "$app" --resource-group "$group" \
    --storage-account "$storage" --runtime custom "${plan_options[@]}" \
    --https-only true --disable-app-insights true --tags "$tag_name=$tag_value"
  unset plans_before
}

# `az functionapp create` makes a Flex Consumption plan with a name of its own before it makes the
# app, and leaves it behind if it is interrupted in between. A Flex Consumption plan is for one
# app only and of no use without.
settle_empty_plans() {
  local name
  [[ $plan == flex ]] || return 0
  exists "${list_empty_plans[@]}" --resource-group "$group" || return 0
  if ! $created_group; then
    # In a group that others use, an empty plan may be somebody's app in the making. One that is
    # left by this run is named at its end.
    plans_before=$answer
    return
  fi
  for name in $answer; do
    change "deleting plan $name, left by an interrupted run" \
      functionapp plan delete --name "$name" --resource-group "$group" --yes
  done
}

list_empty_plans=(functionapp plan list
  --query "[?sku.tier=='FlexConsumption' && numberOfSites==\`0\`].name")

# For a run that ends while the app is being created in a group that others use: nothing else would
# ever tell of a plan that it leaves there.
name_plans_left() {
  [[ -n ${plans_before+set} ]] || return 0
  local before=$plans_before where="--resource-group '$group' --subscription $subscription"
  local name left
  unset plans_before
  if ! left=$(azure "${list_empty_plans[@]}" --resource-group "$group" \
    --subscription "$subscription" --output tsv); then
    echo 'provision.sh: a plan without an app may be left; look with:' \
      "az functionapp plan list $where --output table" >&2
    return
  fi
  for name in $left; do
    # The Azure CLI's own way of naming plans.
    [[ $name == ASP-* && $'\n'$before$'\n' != *$'\n'"$name"$'\n'* ]] || continue
    printf 'provision.sh: the plan %s is left without an app; delete it with: %s\n' \
      "$name" "az functionapp plan delete --name $name $where" >&2
  done
}

# --- Step 3: wait for the host ------------------------------------------------------------------

await_host() {
  if $dry_run; then
    say 'would wait until the app is running and its host answers'
    return
  fi
  local deadline=$((SECONDS + timeout)) state=unknown
  host=''
  start_ticker 'waiting for the host'
  while :; do
    # Not by `az functionapp show`, which asks for much more.
    if state=$(azure rest --method get --url "$(app_id)?api-version=2024-04-01" \
      --output tsv --query '[[properties.state, properties.defaultHostName]]'); then
      # The host name can carry a random part and a region: it is Azure's to say.
      IFS=$'\t' read -r state host <<<"$state"
      if [[ $state == Running && -n $host ]]; then
        request GET "https://$host/"
        # Any answer will do: what stands at the root is of no interest.
        [[ $http_status == 000 ]] || break
      fi
    else
      ! refused_for_good || fail 'the state of the app is not to be had:' "$(said)"
      state=unknown
    fi
    [[ $SECONDS -lt $deadline ]] ||
      fail "the host does not answer after $timeout s (state of the app: $state; URL:" \
        "https://$host/)" "$(said)"
    sleep 5
  done
  stop_ticker
  say "https://$host answers"
}

# --- Step 4: build and publish ------------------------------------------------------------------

publish() {
  if $dry_run; then
    say 'would run: ./build.sh'
    say "would run: FUNCTIONS_WORKER_RUNTIME=custom func azure functionapp publish $app" \
      "--subscription $subscription"
    return
  fi
  patiently 'building' ./build.sh || fail './build.sh failed:' "$(said)"
  say 'built'

  # Publishing replaces the whole package, so a second attempt can do no harm.
  local attempt
  for attempt in 1 2 3; do
    # A fresh clone has no local.settings.json to tell func the worker runtime.
    if patiently 'publishing' env FUNCTIONS_WORKER_RUNTIME=custom \
      func azure functionapp publish "$app" --subscription "$subscription"; then
      say 'published'
      return
    fi
    [[ $attempt -lt 3 ]] || fail "func azure functionapp publish failed $attempt times:" \
      "$(said)"
    say "publishing failed, trying again: $(said | tail -n 1)"
    sleep 10
  done
}

# --- Step 5: access key -------------------------------------------------------------------------

# By the Key Management API: the command of the Azure CLI takes the key's value as an argument.
assign_key() {
  local url=https://${host-}/admin/functions/$function_name/keys/$key_name
  if $dry_run; then
    say "would set the key $key_name of the function $function_name"
    return
  fi
  local deadline=$((SECONDS + timeout))
  start_ticker 'setting the access key'
  get_master_key "$deadline"
  while :; do
    request PUT "$url" "$master_key" \
      "{\"name\":\"$key_name\",\"value\":\"$(quoted "$key_value")\"}"
    case $http_status in
      200 | 201) break ;;
      400)
        fail "the host refuses this value for the key $key_name (status 400)." \
          "A host that asks for strict identifiable secrets takes only keys with" \
          "Azure's checksum: turn its feature flag off, or have Azure generate a key" \
          "in the portal (Functions, $function_name, Function Keys) and use that one."
        ;;
      401)
        fail 'the host refuses the master key (status 401): it may just have been' \
          'renewed. Run this again.'
        ;;
      000 | 404 | 5??) ;; # The host restarts with what has been published.
      *) fail "the host answers status $http_status to the key $key_name" ;;
    esac
    [[ $SECONDS -lt $deadline ]] ||
      fail "the host takes no key after $timeout s (last status: $http_status)" "$(said)"
    sleep 5
  done
  # The answer repeats the key.
  unset master_key http_body
  stop_ticker
  say "the key $key_name is set"
}

# Resource Manager asks the host, and the host may be restarting: then it refuses, or answers
# without a key.
get_master_key() {
  local deadline=$1
  while :; do
    if master_key=$(azure rest --method post --output tsv --query masterKey --url \
      "$(app_id)/host/default/listkeys?api-version=2024-04-01"); then
      [[ -z $master_key || $master_key == None ]] || break
    elif refused_for_good; then
      fail 'no master key:' "$(said)"
    fi
    [[ $SECONDS -lt $deadline ]] ||
      fail "Azure gives no master key after $timeout s" "$(said)"
    sleep 5
  done
}

app_id() {
  printf %s "/subscriptions/$subscription/resourceGroups/$group"
  printf %s "/providers/Microsoft.Web/sites/$app"
}

# --- Step 6: check ------------------------------------------------------------------------------

check_endpoint() {
  if $dry_run; then
    say 'would call the function without a key, with a wrong one, and with the right one'
    return
  fi
  url=https://$host/api/$function_name
  start_ticker 'calling the function'
  expect 401 'without a key' "$url" ''
  expect 401 'with a wrong key' "$url" "x$key_value"
  expect 200 'with the key in the header' "$url" "$key_value"
  expect 200 'with the key in ?code=' "$url?code=$(percent_encoded "$key_value")" ''
  stop_ticker
}

# expect STATUS HOW URL KEY
expect() {
  local deadline=$((SECONDS + timeout)) refusals=0
  while :; do
    request '' "$3" "$4" '' ${check_options[@]+"${check_options[@]}"}
    [[ $http_status != "$1" ]] || break
    case $http_status in
      # The host may restart still, or once more.
      000 | 404 | 5??) [[ $SECONDS -lt $deadline ]] || break ;;
      401)
        refusals=$((refusals + 1))
        [[ $refusals -lt $stale_keys && $SECONDS -lt $deadline ]] || break
        ;;
      *) break ;;
    esac
    sleep 5
  done
  [[ $refusals -eq 0 || $http_status != 401 ]] ||
    hint='The host has not taken the key up: run this again, or restart the app in the portal.'
  [[ $http_status == "$1" ]] ||
    fail "the function called $2 answers status $http_status, not $1" "$(said)" "${hint-}"
  if [[ $1 == 200 ]]; then
    [[ $http_body =~ $check_answer ]] ||
      fail "the function called $2 answers '$http_body', which does not match $check_answer"
    say "$2: $1, $http_body"
  else
    say "$2: $1"
  fi
}

sum_up() {
  if $dry_run; then
    printf '\nNothing was changed.\n'
    return
  fi
  local show_key call='curl --header @-'
  [[ ${#check_options[@]} -eq 0 ]] || call+=$(printf ' %q' "${check_options[@]}")
  show_key="az functionapp function keys list --subscription $subscription"
  show_key+=" --resource-group '$group' --name $app --function-name $function_name"
  show_key+=" --query '\"$key_name\"' --output tsv"
  cat <<SUMMARY

Done in $SECONDS s. The function is at

  $url

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
  if ! exists group show --name "$group" --query "tags.\"$tag_name\""; then
    echo "Nothing to delete: there is no resource group $group."
  elif [[ $answer == "$tag_value" ]]; then
    exists resource list --resource-group "$group" --query '[].[type, name]'
    confirm "the resource group $group and all that is in it:" "$answer"
    change 'deleting the resource group' group delete --name "$group" --yes
  else
    delete_from_group
  fi
}

# In a group that was there before: only what bears our tag.
delete_from_group() {
  local type name found
  exists resource list --resource-group "$group" \
    --query "[?tags.\"$tag_name\"=='$tag_value' && (name=='$app' || name=='$storage')].[type, name]"
  found=$answer
  # In a storage account of others, only the container is ours.
  if [[ $found != */[sS]torage* ]] && exists storage container-rm show --name "$container" \
    --storage-account "$storage" --resource-group "$group" --query '[[type, name]]'; then
    found+=${found:+$'\n'}$answer
  fi
  if [[ -z $found ]]; then
    echo "Nothing to delete: there is nothing of ours in the resource group $group."
    return
  fi
  confirm "from the resource group $group, which this script has not created:" "$found"
  while read -r type name; do
    case $type in
      # Azure deletes the app's plan along with the last app on it.
      */[sS]ites)
        change "deleting function app $name" \
          functionapp delete --name "$name" --resource-group "$group"
        ;;
      */storage[aA]ccounts)
        change "deleting storage account $name" \
          storage account delete --name "$name" --resource-group "$group" --yes
        ;;
      */containers)
        change "deleting container $name" storage container-rm delete --name "$name" \
          --storage-account "$storage" --resource-group "$group" --yes
        ;;
    esac
  done < <(printf '%s\n' "$found" | sort -r)
}

confirm() {
  local reply=''
  printf 'This deletes %s\n' "$1"
  [[ -z $2 ]] || printf '%s\n' "$2" | sed 's/^/  /'
  if ! $yes && ! $dry_run; then
    [[ -t 0 ]] || refuse 'nothing was deleted: there is no terminal to ask on; give --yes'
    read -r -p 'Delete? [y/N] ' reply || true
    if [[ $reply != [yY]* ]]; then
      echo 'Nothing was deleted.'
      exit
    fi
  fi
  begun=true
}

# --- Azure --------------------------------------------------------------------------------------

# The Azure CLI. What it has to say of a failure is kept for `said`.
azure() { az "$@" --only-show-errors 2>"$errors"; }

# Whether the last call failed in a way that waiting does not mend: not signed in, or no rights.
refused_for_good() {
  case $(said) in
    *Forbidden* | *Authorization* | *'az login'*) ;;
    *) return 1 ;;
  esac
}

# Asks for one resource and leaves what --query selects in $answer. Fails if it is not there; any
# other trouble ends the script.
exists() {
  local status=0
  answer=$(azure "$@" --subscription "$subscription" --output tsv) || status=$?
  case $status in
    0) ;;
    3) return 1 ;; # The exit code of the Azure CLI for what is not found.
    *) fail "az $1 $2 failed:" "$(said)" ;;
  esac
}

# change WHAT ARGUMENT...: the Azure CLI for anything that is not just looking.
change() {
  local what=$1
  shift
  set -- az "$@" --subscription "$subscription"
  if $dry_run; then
    hint=''
    say "would run:$(printf ' %q' "$@")"
    return
  fi
  # What is created is printed along with its secrets, unless the output is off.
  patiently "$what" "$@" --output none --only-show-errors ||
    fail "$what failed:" "$(said)" "${hint-}"
  hint=''
  say "$what: done"
}

# --- HTTP ---------------------------------------------------------------------------------------

# request METHOD URL [KEY [BODY [OPTION]...]]: leaves $http_status, 000 for no answer at all, and
# $http_body. An empty METHOD is the one that curl's OPTIONs ask for.
#
# curl gets all but these by standard input, for the key can be in any part. Settings of the user's
# own (~/.curlrc) are left aside: they could write the key somewhere.
request() {
  local answer
  answer=$(
    {
      [[ -z $1 ]] || printf 'request = "%s"\n' "$1"
      printf 'url = "%s"\n' "$(quoted "$2")"
      if [[ -n ${3-} ]]; then
        printf 'header = "x-functions-key: %s"\n' "$(quoted "$3")"
      fi
      if [[ -n ${4-} ]]; then
        printf 'header = "Content-Type: application/json"\n'
        printf 'data-binary = "%s"\n' "$(quoted "$4")"
      fi
    } | curl --disable --config - --globoff --silent --show-error --max-time 60 \
      --write-out '\n%{http_code}' "${@:5}" 2>"$errors"
  ) || true
  http_status=${answer##*$'\n'}
  http_body=${answer%$'\n'*}
}

# Text between double quotes: for printable ASCII, JSON and curl's configuration have the same
# rule.
quoted() {
  local text=${1//\\/\\\\}
  printf %s "${text//\"/\\\"}"
}

percent_encoded() {
  local LC_ALL=C text=$1 index character
  for ((index = 0; index < ${#text}; index++)); do
    character=${text:index:1}
    case $character in
      [A-Za-z0-9._~-]) printf %s "$character" ;;
      *) printf '%%%02X' "'$character" ;;
    esac
  done
}

# --- Telling how it goes ------------------------------------------------------------------------

step() {
  local began=$SECONDS
  step_number=$((${step_number-0} + 1))
  step_title=$1
  begun=true
  printf '\n[%s/%s] %s\n' "$step_number" "$step_count" "$step_title"
  "$2"
  $dry_run || printf '      (%s s)\n' "$((SECONDS - began))"
}

say() {
  clear_ticker
  printf '      %s\n' "$*"
}

# patiently WHAT COMMAND...: runs the command with a sign of life; what it prints is kept for
# `said`.
patiently() {
  local status=0
  start_ticker "$1"
  shift
  "$@" >"$errors" 2>&1 </dev/null || status=$?
  stop_ticker
  return "$status"
}

# The error of the last command.
said() { cat "$errors"; }

# Shows every second how long it takes: on a terminal; elsewhere with a line each 30 s.
start_ticker() {
  local parent=$$
  # No output of the ticker's sleep: it would outlive the ticker by up to a second and keep a
  # pipe open.
  (
    trap - HUP INT TERM EXIT
    began=$SECONDS
    told=0
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
fail() {
  stop_ticker
  explained=true
  printf 'provision.sh: %s%s\n' "$(where)" "$*" >&2
  name_plans_left
  again
  exit 1
}

where() {
  [[ -z ${step_number-} ]] || printf 'step %s (%s): ' "$step_number" "$step_title"
}

again() {
  ! ${begun-false} || echo 'provision.sh: running it again goes on from there.' >&2
}

interrupted() {
  stop_ticker
  explained=true
  printf '\nprovision.sh: %sstopped.\n' "$(where)" >&2
  name_plans_left
  again
  exit "$1"
}

# Also the last word on a failure that nothing above has foreseen.
finish() {
  local status=$?
  stop_ticker
  if [[ $status -ne 0 ]] && ! ${explained-false}; then
    printf 'provision.sh: %sunexpected failure, status %s. %s\n' \
      "$(where)" "$status" "$(said)" >&2
    again
  fi
  rm -f "$errors"
}

main "$@"
