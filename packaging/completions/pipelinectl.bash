# bash completion for pipelinectl(1); commands and services come from the
# program and the running pipeline, so that this file never goes stale.

_pipelinectl_commands()
{
	pipelinectl help 2>/dev/null | sed -n 's/^  \([a-z]*\)  *.*/\1/p'
}

# The options that the usage line of a command names.
_pipelinectl_options()
{
	pipelinectl "$1" --help 2>/dev/null |
		grep -oE -- '(^|[[ ,(])--[a-z][a-z-]*' | tr -d '[,( ' | sort -u
	echo --help
}

# Services and instances of the running pipeline.
_pipelinectl_services()
{
	pipelinectl status "$@" 2>/dev/null |
		sed -n 's/^\([a-z0-9_-]*\)\.\([0-9][0-9]*\) .*/\1\n\1.\2/p' |
		sort -u
}

# Links of the configuration, as their consumers name them.
_pipelinectl_links()
{
	pipelinectl config --json "$@" 2>/dev/null |
		grep -o '"in":"[a-z0-9_-]\+"' | cut -d'"' -f4 | sort -u
}

_pipelinectl()
{
	local current=${COMP_WORDS[COMP_CWORD]}
	local previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' config=() i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config)
			config=(--config "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		-*) ;;
		*)
			command=${command:-${COMP_WORDS[i]}}
			;;
		esac
	done
	COMPREPLY=()
	case $previous in
	-c | --config)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	-n | --lines | -t | --timeout)
		return
		;;
	-l | --link)
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_pipelinectl_links "${config[@]}")" -- "$current")
		return
		;;
	esac
	if [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_pipelinectl_commands)
			--config --json --help --version" -- "$current")
	elif [[ $current == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_pipelinectl_options "$command")" -- "$current")
	else
		case $command in
		start | stop | restart | scale | status | logs)
			mapfile -t COMPREPLY < <(compgen -W \
				"$(_pipelinectl_services "${config[@]}")" \
				-- "$current")
			;;
		help)
			mapfile -t COMPREPLY < <(compgen -W \
				"$(_pipelinectl_commands)" -- "$current")
			;;
		*)
			compopt -o default 2>/dev/null
			;;
		esac
	fi
}

complete -F _pipelinectl pipelinectl
