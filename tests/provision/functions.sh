# shellcheck shell=bash disable=SC2034
function_name=RandomNumber
sample_call() {
  case $1 in
    RandomNumber) answers='^\{"value":[0-9]+\}$' ;;
    *) return 1 ;;
  esac
}
