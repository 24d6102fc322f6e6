#!/usr/bin/env bash
# Brings the functions to Azure: creates the function app and all that it needs, builds, publishes,
# sets the functions' key, and checks them by calls. It goes by what is there: run it again after a
# failure, or to publish again. Its options: infra/options.txt.
#
# No secret is given to a command as an argument, where `ps` shows it to everybody on the machine,
# nor printed, nor written to a file. All this runs on bash 3.2 (macOS) and later.

[ -n "${BASH_VERSION-}" ] || { echo 'provision.sh: run it with bash: ./provision.sh' >&2; exit 2; }
# Started as `sh`, bash lacks some of what is used here.
set +o posix
set -euo pipefail

# The walkthrough's own, published in its text.
default_key_value=d0c5atM1cr0s0ft
# Tags mark what this script has created, and for which app, so that it deletes nothing else.
tag_name=created-by tag_value=random-number-provision.sh app_tag='function-app'
# Seconds until a role holds: 10 minutes by one of Azure's pages, 30 by others.
role_timeout=1800

main() {
  read_arguments "$@"
  check_arguments
  errors=$(mktemp)
  trap 'end $? "unexpected failure: $(cat "$errors")"' EXIT
  trap 'echo && end 130 stopped.' HUP INT TERM

  cd "$(dirname "$0")"
  check_prerequisites
  derive_names
  if $delete; then
    delete_all
    return
  fi
  announce
  step 'What is there' look
  $update || step 'Deployment' deploy
  step 'Build' build 'run ./build.sh'
  step 'Publish' publish "run func azure functionapp publish $app"
  $update || step 'Access key' assign_keys "set the key $key_name of each function"
  step 'Check' check 'call the functions without a key, with a wrong one and with the right one'
  $dry_run || sum_up
}

# --- Arguments and prerequisites ----------------------------------------------------------------
read_arguments() {
  # The commands that this script starts must not get the key in their environment, where other
  # programs of this user can read it. `unset` also ends the export of such a variable.
  unset key_value master_key http_body answer token
  key_value=${PROVISION_KEY_VALUE-$default_key_value}
  unset PROVISION_KEY_VALUE

  # Which function the names come from, and how the functions are checked.
  # shellcheck source=infra/functions.sh
  . "$(dirname "$0")/infra/functions.sh"

  # random-number for RandomNumber. A group's name has 90 characters at most.
  name_in_words=$(lower "$(printf %s "$function_name" |
    LC_ALL=C sed -e 's/\([a-z0-9]\)\([A-Z]\)/\1-\2/g' -e 's/[_-][_-]*/-/g')")
  default_group=rg-${name_in_words:0:87}

  subscription=${PROVISION_SUBSCRIPTION-}
  resource_group=${PROVISION_RESOURCE_GROUP-$default_group}
  location=${PROVISION_LOCATION-westus2}
  app=${PROVISION_APP-} storage=${PROVISION_STORAGE-}
  memory=${PROVISION_MEMORY-2048}
  # Each function is born with a key `default`. Under another name than that, ours would be valid
  # beside it.
  key_name=${PROVISION_KEY_NAME-default}
  timeout=${PROVISION_TIMEOUT-300}
  no_logs=false storage_keys=false update=false dry_run=false delete=false yes=false
  local option key_file
  for_deployment=''
  while [[ $# -gt 0 ]]; do
    # --key-name sets $key_name, and so on.
    option=${1#--}
    option=${option//-/_}
    # Only a deployment reads these.
    [[ ! $1 =~ ^--(location|storage|memory|no-logs|storage-keys)$ ]] || for_deployment+=" $1"
    case $1 in
      --subscription | --resource-group | --location | --app | --storage | --memory | \
        --key-name | --key-file)
        [[ $# -ge 2 ]] || refuse "$1 needs a value; ./provision.sh --help lists the options"
        printf -v "$option" %s "$2"
        shift
        ;;
      --no-logs | --storage-keys | --update | --dry-run | --delete | --yes)
        printf -v "$option" true
        ;;
      --help | -h) cat "$(dirname "$0")/infra/options.txt" && exit ;;
      *) refuse "unknown option '$1'; ./provision.sh --help lists the options" ;;
    esac
    shift
  done
  group=$resource_group
  # As Azure writes it: "West US 2" is westus2.
  location=$(lower "${location// /}")

  if [[ -n ${key_file+given} ]]; then
    # The substitution drops the newline that editors put at the end of a file. - is standard input.
    key_value=$(cat -- "$key_file" 2>/dev/null) ||
      refuse "--key-file '$key_file' can't be read: give a file with the access key's value, or -"
  fi
}

# What Azure would refuse halfway through is refused before anything is created.
check_arguments() {
  # In other locales a range such as a-z may hold more letters.
  local LC_ALL=C
  fits 'resource group' "$group" '^[A-Za-z0-9_.()-]{0,89}[A-Za-z0-9_()-]$' \
    '1 to 90 letters, digits, hyphens, underscores, periods and parentheses, no period at the end'
  fits 'storage account' "$storage" '^([a-z0-9]{3,24})?$' '3 to 24 lower-case letters and digits'
  # Azure takes 60, also for the plan, which is named plan-NAME.
  fits 'function app' "$app" '^([A-Za-z0-9][A-Za-z0-9-]{0,53}[A-Za-z0-9])?$' \
    '2 to 55 letters, digits and hyphens, no hyphen at either end'
  fits location "$location" '^[a-z0-9]+$' "a name out of 'az account list-locations'"
  fits memory "$memory" '^(512|2048|4096)$' '512, 2048 or 4096, in MB'
  fits 'key name' "$key_name" '^[A-Za-z0-9][A-Za-z0-9-]{0,126}$' \
    '1 to 127 letters, digits and hyphens, not a hyphen first'
  fits PROVISION_TIMEOUT "$timeout" '^[1-9][0-9]{0,4}$' 'seconds, from 1 to 99999'
  # A key travels in a header: one line of ASCII, without spaces at its ends. It is not shown.
  [[ $key_value =~ ^[!-~]([\ -~]*[!-~])?$ ]] || refuse "the access key's value: give printable" \
    'ASCII characters, at least one, with no line break and with no space at either end'
}

fits() { [[ $2 =~ $3 ]] || refuse "$1 '$2': give $4"; }

# Names all that is missing at once.
check_prerequisites() {
  local missing=''
  if ! has az; then
    lacks 'az, the Azure CLI: https://learn.microsoft.com/cli/azure/install-azure-cli'
  elif ! get_token; then
    lacks "access to the subscription '$subscription': az login, az account list ($words)"
  fi
  if ! $delete; then
    [[ -f $function_name/function.json ]] ||
      refuse "there is no $function_name/function.json: in infra/functions.sh, set function_name" \
        "to the name of a function's folder"
    has func || lacks 'func, of Core Tools: npm install --global azure-functions-core-tools@4'
    has curl || lacks 'curl: sudo apt-get install curl'
    attempt ./build.sh --tools || lacks "${words#build.sh: }"
  fi
  [[ -z $missing ]] || refuse "not ready; nothing was changed. What is missing:$missing"
}

has() { command -v "$1" >/dev/null; }
lacks() { missing+=$'\n'"  - $1"; }

# The access token is for func, and tells whether the login still holds. A subscription's name
# becomes an id, for it is the id that names are derived from.
get_token() {
  attempt az account get-access-token ${subscription:+--subscription "$subscription"} \
    --query '[[subscription, expires_on, accessToken]]' --output tsv --only-show-errors || return 1
  IFS=$'\t' read -r subscription token_expires token <<<"$answer"
}

derive_names() {
  local hash from=$subscription/$group words=${name_in_words:0:44} letters=${name_in_words//-/}
  # A name that is cut short still differs from another one with the same beginning.
  [[ ${#letters} -le 14 ]] || from+=/$function_name
  # What --delete has to be told again.
  given_app=${app:+ --app $app}
  # All names follow from that of the app. Azure takes Group and group for the same.
  hash=$(lower "${app:-$from}" | if has sha256sum; then sha256sum; else shasum -a 256; fi)
  hash=${hash:0:10}
  app=${app:-${words%-}-$hash}
  storage=${storage:-${letters:0:14}$hash}
  group_id=/subscriptions/$subscription/resourceGroups/$group
  app_id=$group_id/providers/Microsoft.Web/sites/$app
  storage_id=$group_id/providers/Microsoft.Storage/storageAccounts/$storage
}

announce() {
  printf '%s in Azure%s\n' "$function_name" "$(! $dry_run || echo ' (dry run: nothing is changed)')"
  printf '  %-16s %s\n' subscription "$subscription" 'resource group' "$group" \
    location "$location" 'storage account' "$storage" 'function app' "$app"
}

# --- Deployment ---------------------------------------------------------------------------------
look() {
  group_is_new=false app_is_there=false
  if find_app; then
    app_is_there=true
    ! $update || tell_what_stays
  elif $update; then
    fail "there is no function app $app in the resource group $group: leave --update out"
  elif settled "the resource group $group" group show --name "$group"; then
    say "the resource group $group is there"
  else
    group_is_new=true
    say "the resource group $group is not there yet"
  fi
}

find_app() {
  local origin
  azure "asking for $app" resource show --ids "$app_id" --api-version 2024-04-01 --query "[[
    properties.defaultHostName, tags.\"$tag_name\",
    properties.functionAppConfig.deployment.storage.authentication.type]]" || return 1
  IFS=$'\t' read -r host origin authentication <<<"$answer"
  # Publishing would replace the code of somebody else's app.
  is_ours "the function app $app" "$origin" --app
  say "the function app $app is there"
}

is_ours() {
  [[ $2 == "$tag_value" ]] ||
    fail "$1 is there, but was not created by this script: give another name with $3"
}

deploy() {
  local deployment state=none
  # An interrupted run leaves its deployment running. It may have made the app meanwhile.
  if ! $group_is_new && find_deployment; then
    state=$answer
    $app_is_there || [[ $state != Succeeded ]] || ! find_app || app_is_there=true
  fi
  if $app_is_there && [[ $state != Failed && $state != Canceled ]]; then
    say 'nothing is deployed: that would replace all settings of the app'
    tell_what_stays
    return
  fi
  # A deployment would change the storage account of somebody else.
  if ! $group_is_new && azure "asking for $storage" resource show --ids "$storage_id" \
    --api-version 2024-01-01 --query "tags.\"$tag_name\""; then
    is_ours "the storage account $storage" "$answer" --storage
  fi
  deployment=(--resource-group "$group" --name "$app" --template-file infra/main.json
    --parameters location="$location" appName="$app" storageName="$storage" memory="$memory"
    logs="$($no_logs && echo false || echo true)" storageKeys="$storage_keys"
    tags="{\"$tag_name\": \"$tag_value\", \"$app_tag\": \"$app\"}")
  if $dry_run; then
    preview
    return
  fi
  ! $group_is_new || change 'creating the resource group' group create --name "$group" \
    --location "$location" --tags "$tag_name=$tag_value"
  before_failing=undo_group
  say 'a deployment takes a minute or two'
  change 'deploying infra/main.json' deployment group create "${deployment[@]}" \
    --query properties.outputs.host.value
  before_failing=true
  host=$answer
}

# Once it does not run any more; leaves its state in $answer.
find_deployment() {
  settled "the deployment $app" deployment group show --name "$app" --resource-group "$group"
}

tell_what_stays() {
  [[ -z $for_deployment ]] || say "without effect on an app that is there:$for_deployment"
  [[ $(lower "$authentication") == *identity ]] ||
    say 'it has a key of its storage account: after ./provision.sh --delete a run gives one without'
}

# Azure can tell what would be created only in a resource group that is there.
preview() {
  local names=("Storage/storageAccounts/$storage" "Web/serverfarms/plan-$app" "Web/sites/$app")
  say 'would deploy infra/main.json, and so:'
  if $group_is_new; then
    $no_logs || names+=("OperationalInsights/workspaces/log-$app" "Insights/components/appi-$app")
    $storage_keys || names+=("ManagedIdentity/userAssignedIdentities/id-$app"
      "Authorization/roleAssignments (two, of id-$app on $storage)")
    printf '        Create\tMicrosoft.%s\n' "Resources/resourceGroups/$group" "${names[@]}"
  else
    azure 'asking what would change' deployment group what-if "${deployment[@]}" --no-pretty-print \
      --query "changes[?changeType!='Ignore'].[changeType, resourceId]"
    printf '%s\n' "$answer" | sed 's|/.*/resourceGroups/[^/]*/providers/||; s|^|        |'
  fi
}

# Leaves nothing behind where Azure has refused the deployment before it began.
undo_group() {
  before_failing=true
  ! $group_is_new || attempt az deployment group show --name "$app" --resource-group "$group" \
    --subscription "$subscription" --only-show-errors || [[ $status != 3 ]] || {
    change 'deleting the resource group again' group delete --name "$group" --yes
    begun=false
  }
}

# --- Build, publish, key, check -----------------------------------------------------------------
build() {
  attempt ./build.sh || fail './build.sh failed:' "$words"
  attempt ./build.sh --functions || fail './build.sh --functions failed:' "$words"
  functions=$answer
}

publish() {
  say 'publishing takes a minute or two'
  # It replaces the whole package, so another attempt can do no harm.
  insist publishing run_func || failed 'func azure functionapp publish'
}

# The token by standard input: left to itself, func takes one for the tenant of az's default
# subscription. A fresh clone has no local.settings.json to tell func the worker runtime.
run_func() {
  [[ $token_expires -gt $(($(date +%s) + 600)) ]] || get_token || return 1
  printf %s "$token" | func azure functionapp publish "$app" --custom \
    --subscription "$subscription" --access-token-stdin
}

# Not by the Azure CLI, which takes the key's value as an argument.
assign_keys() {
  local function value=${key_value//\\/\\\\}
  ask_host 'asking for the master key' host/default masterKey
  master_key=$answer
  [[ -n $master_key ]] || fail 'the host gives no master key. Run this again later.'
  while IFS= read -r function <&3; do
    describe "$function"
    [[ $level == function ]] || continue
    # In lower case, the name of the function works on every host.
    call '200|201' "/admin/functions/$(lower "$name")/keys/$key_name" "$master_key" \
      "{\"name\":\"$key_name\",\"value\":\"${value//\"/\\\"}\"}" --data-binary @- --request PUT \
      --header 'Content-Type: application/json' ||
      fail "$name: the host answers status $http_status to the key $key_name. After a 400, give" \
        "one with Azure's checksum: the portal makes it (Functions, $name, Function Keys). $words"
    say "$name: the key $key_name is set"
  done 3<<<"$functions"
}

# ask_host WHAT OF NAME: leaves a key in $answer. Resource Manager has it from the host.
ask_host() {
  azure "$1" rest --method post --url "$app_id/$2/listkeys?api-version=2024-04-01" --query "\"$3\""
}

check() {
  local function key=$key_value
  while IFS= read -r function <&3; do
    describe "$function"
    case $level,$may_be_called,$path in
      *,) say "$name is not called: no path is known that fits its route $route" ;;
      anonymous,false,*)
        say "$name is not called: it asks for no key, and sample_call does not name it"
        ;;
      anonymous,*) expect 200 "$name" '' ;;
      *)
        expect 401 "$name without a key" ''
        if $update && $may_be_called; then
          ask_host "asking for the key of $name" "functions/$name" "$key_name"
          key=$answer
          [[ -n $key ]] || fail "$name has no key $key_name: give another name with --key-name"
        fi
        expect 401 "$name with a wrong key" "x$key"
        # In the header: Application Insights kept what came as ?code= (measured).
        ! $may_be_called || [[ $level != function ]] || expect 200 "$name with the key" "$key"
        ;;
    esac
  done 3<<<"$functions"
}

# describe LINE: a function, by its line of `handler --check`. For a call it leaves the $path, empty
# if none is known that fits the route, curl's $options, and what it $answers.
describe() {
  local methods
  # Several tabs would be one for `read`.
  IFS=$'\x1f' read -r name methods route level < <(printf '%s\n' "$1" | tr '\t' '\037')
  path=$(path_for "$route") options=() answers='' may_be_called=true
  sample_call "$name" || may_be_called=false
  case ,$methods, in
    ,,) path='' ;;
    *,GET,* | ,\*,) ;;
    *) options+=(--request "${methods%%,*}") ;;
  esac
}

# path_for ROUTE: with values for the parameters; nothing if a constraint is none of these.
path_for() {
  printf '%s\n' "$1" | sed -E -e 's/\{[^{}:]*:guid\??\}/00000000-0000-0000-0000-000000000000/g' \
    -e 's/\{[^{}:]*:alpha\??\}/a/g' -e 's/\{[^{}:]*:bool\??\}/true/g' \
    -e 's/\{[^{}:]*:datetime\??\}/2026-01-01/g' \
    -e 's/\{[^{}:]*(:(int|long|float|double|decimal|required))?\??\}/1/g' -e '/[{}]/d'
}

expect() {
  call "$1" "$path" "$3" '' ${options[@]+"${options[@]}"} ||
    fail "$2: status $http_status, not $1. Run this again, or restart the app in the portal. $words"
  [[ $1 == 200 ]] || http_body=''
  [[ $1 != 200 || -z $answers || $http_body =~ $answers ]] ||
    fail "$2: the answer '$http_body' does not match $answers"
  say "$2: $1${http_body:+, $http_body}"
}

# call STATUS PATH KEY INPUT [OPTION]...: curl, again as long as the host may be restarting or, for
# two minutes, not know a new key yet: it looks for one at most once a minute (`SecretManager` in
# Azure/azure-functions-host). Leaves $http_status, 000 for no answer at all, and $http_body.
call() {
  local output refusals=0 deadline=$((SECONDS + timeout))
  while :; do
    # In a file, the key is not on the command line. ~/.curlrc could have it written somewhere.
    output=$(printf %s "$4" | curl --disable --globoff --silent --show-error --max-time 60 \
      --header @<(printf 'x-functions-key:%s\n' "${3:+ $3}") --write-out '\n%{http_code}' \
      "${@:5}" -- "https://$host$2" 2>"$errors") || true
    words=$(cat "$errors") http_status=${output##*$'\n'} http_body=${output%$'\n'*}
    [[ ! $http_status =~ ^($1)$ ]] || return 0
    case $http_status in
      000 | 404 | 5??) ;;
      401) [[ $((refusals += 1)) -lt 24 ]] || return 1 ;;
      *) return 1 ;;
    esac
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 5
  done
}

sum_up() {
  local in_group="--subscription $subscription --resource-group '$group'"
  describe "$(grep "^$function_name"$'\t' <<<"$functions")"
  cat <<SUMMARY

Done in $SECONDS s. $function_name is at
  https://$host${path:-$route}
Its access key is printed by
  az functionapp function keys list $in_group --name $app \\
    --function-name $function_name --query '"$key_name"' --output tsv
To delete everything:
  ./provision.sh --delete $in_group$given_app
SUMMARY
}

# --- Delete -------------------------------------------------------------------------------------
delete_all() {
  local id found rest=() whole=false which what
  azure 'asking for the resource group' group show --name "$group" \
    --query "[[properties.provisioningState, tags.\"$tag_name\"]]" || answer=none
  case $answer in
    none) echo "Nothing to delete: there is no resource group $group." && return ;;
    Deleting*) echo "The resource group $group is being deleted already." && return ;;
    *$'\t'"$tag_value") whole=true which='[].id' what="the resource group $group and all in it" ;;
    *)
      what="from the resource group $group, which this script has not created"
      # What bears our tag, and the alert rule that Azure adds for our component.
      which="[?name=='Failure Anomalies - appi-$app' || tags.\"$tag_name\"=='$tag_value' &&
        (!(tags.\"$app_tag\") || tags.\"$app_tag\"=='$app')].id"
      ;;
  esac
  # A deployment that runs would go on creating.
  find_deployment || true
  azure 'listing the resources' resource list --resource-group "$group" --query "$which"
  found=$answer
  $whole || [[ -n $found ]] || { echo "Nothing to delete: nothing in $group is ours." && return; }
  confirm "$what" "$found"
  while IFS= read -r id <&3; do
    case $(lower "$id") in
      */workspaces/*)
        # By force: otherwise Azure keeps its name for 14 days, and the next run needs it.
        change "deleting ${id##*/}" monitor log-analytics workspace delete --ids "$id" --force --yes
        ;;
      */storageaccounts/*) delete_roles "$id" && rest+=("$id") ;;
      # Azure deletes it along with its last app.
      */serverfarms/*) [[ $(lower "$found") == */sites/* ]] || rest+=("$id") ;;
      */*) rest+=("$id") ;;
    esac
  done 3<<<"$found"
  if $whole; then
    change 'deleting the resource group' group delete --name "$group" --yes
  elif [[ ${#rest[@]} -gt 0 ]]; then
    change 'deleting all else' resource delete --ids "${rest[@]}"
  fi
}

# Left behind, they would be in the way of the next ones, which have the same names.
delete_roles() {
  local what='deleting the role assignments'
  insist "$what" az role assignment delete --scope "$1" --only-show-errors ||
    [[ $words == *'No matched assignments'* ]] || failed "$what"
}

confirm() {
  local reply=''
  printf 'This deletes %s:\n' "$1"
  [[ -z $2 ]] || printf '%s\n' "$2" | sed 's|.*/providers/|  |'
  ! $dry_run || { echo 'Nothing was deleted.' && exit; }
  if ! $yes; then
    [[ -t 0 ]] || refuse 'nothing was deleted: there is no terminal to ask on; give --yes'
    read -r -p 'Delete? [y/N] ' reply || true
    [[ $reply == [yY]* ]] || { echo 'Nothing was deleted.' && exit; }
  fi
  begun=true
}

# azure WHAT ARGUMENT...: the Azure CLI. Leaves in $answer what --query selects. Fails for what is
# not there, and ends the step for any other error that does not pass. `change` tells it before.
azure() {
  insist "$1" az "${@:2}" --subscription "$subscription" --output tsv --only-show-errors && return
  # The exit code of the Azure CLI for what is not found.
  [[ $status == 3 ]] || failed "$1"
  return 1
}

change() {
  say "$1"
  azure "$@" || failed "$1"
}

# settled WHAT ARGUMENT...: azure, for the state of something. Waits as long as that state passes.
settled() {
  local began=$SECONDS
  while azure "asking for $1" "${@:2}" --query properties.provisioningState; do
    [[ $answer =~ ^(Accepted|Creating|Deleting|Running|Updating)$ ]] && ! $dry_run || return 0
    [[ $((SECONDS - began)) -lt $timeout ]] || fail "$1 is still $answer. Run this again later."
    wait_for "$1 is $answer"
  done
  return 1
}

# insist WHAT COMMAND...: attempt, again as long as its error is one that passes.
insist() {
  local limit began=$SECONDS
  until attempt "${@:2}"; do
    judge
    limit=$timeout
    [[ $verdict != role ]] || limit=$role_timeout
    [[ $verdict =~ ^(role|waits)$ && $((SECONDS - began)) -lt $limit ]] || return "$status"
    wait_for "$1: $reason"
  done
}

# wait_for WHAT: a pause, with a sign of life each 30 s. $began is of the caller.
wait_for() {
  if [[ ${told-} != "$1" || $((SECONDS - told_at)) -ge 30 ]]; then
    say "$1. Waiting since $((SECONDS - began)) s"
    told=$1 told_at=$SECONDS
  fi
  sleep 5
}

# attempt COMMAND...: leaves its $status, what it prints in $answer (it may be a secret, so it is in
# no file), and what it says of a failure in $words.
attempt() {
  status=0
  answer=$("$@" 2>"$errors" </dev/null) || status=$?
  words=$(cat "$errors")
  [[ $status == 0 ]] || words=$answer$words
  return "$status"
}

# Looks $words up in infra/failures.txt: leaves what to do in $verdict, what is wrong in $reason.
judge() {
  local text
  while IFS='|' read -r verdict text reason; do
    [[ -z $text || $words != *"$text"* ]] || break
  done <infra/failures.txt
  reason=${reason//APP/$app} reason=${reason//STORAGE/$storage} reason=${reason//GROUP/$group}
  reason=${reason//LOCATION/$location} reason=${reason//SCOPE/$storage_id}
}

# failed WHAT: ends the step for the error of the last command.
failed() {
  local message="$1 failed: $words"
  judge
  case $verdict in
    # An error within an error comes last.
    ends)
      words=$(grep -E '"message"|^Message: |^ERROR: ' <<<"$words" | tail -n 1)
      words=${words#Message: }
      message="$1 failed: $reason."$'\n'"Azure said: ${words#ERROR: }"
      ;;
    role | waits) message="$1 failed: $reason. Run this again later." ;;
  esac
  ${before_failing-true}
  fail "$message"
}

# --- Telling how it goes ------------------------------------------------------------------------
step() {
  local began=$SECONDS
  step_number=$((${step_number-0} + 1)) step_title=$1 begun=true
  printf '\n[%s/%s] %s\n' "$step_number" "$($update && echo 4 || echo 6)" "$step_title"
  if $dry_run && [[ -n ${3-} ]]; then say "would $3"; else "$2"; fi
  $dry_run || say "($((SECONDS - began)) s)"
}

say() { printf '      %s\n' "$*"; }
lower() { printf %s "$1" | tr '[:upper:]' '[:lower:]'; }

# `refuse` is for what is wrong with the request, `fail` ends a step.
refuse() { begun=false && end 2 "$*"; }
fail() { end 1 "$*"; }
end() {
  trap - EXIT
  rm -f "${errors-}"
  [[ $1 != 0 ]] || exit 0
  printf 'provision.sh: %s%s\n' "${step_number:+step $step_number ($step_title): }" "$2" >&2
  ! ${begun-false} || echo 'provision.sh: running it again goes on from there.' >&2
  exit "$1"
}

main "$@"
