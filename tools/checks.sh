# Sourced by the launchers: checks of what they are given.
check_number() { # NAME VALUE LEAST
    case $2 in
    '' | *[!0-9]* | 0?*) ;;
    *) [ "$2" -lt "$3" ] || return 0 ;;
    esac
    echo "$1 must be a whole number >= $3, got '$2'" >&2
    exit 2
}
check_config() { # PATH
    if [ ! -f "$1" ]; then
        echo "there is no config '$1'" >&2
        exit 2
    fi
}
