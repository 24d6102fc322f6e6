# shellcheck shell=bash disable=SC2034
# What provision.sh has to know of the functions. The rest it asks `handler --check`.

# The function after which everything in Azure is named.
function_name=RandomNumber

# The functions that the check at the end may really call, and what each answers: an extended
# regular expression. For a route with parameters give a path, for a body curl's options:
#   Order) answers='"number":' path=/api/orders
#     options=(--header 'Content-Type: application/json' --data '{"item": "tea", "count": 1}') ;;
# Another function is called without a key and with a wrong one, which the host refuses, or not at
# all if it asks for no key: what the call would do is not known here.
sample_call() {
  case $1 in
    RandomNumber) answers='^\{"value":[1-9][0-9]{0,2}\}$' ;;
    *) return 1 ;;
  esac
}
