package apt

import "strings"

// script stands before the jail's dpkg as Dir::Bin::dpkg. apt goes by the sizes of what lies in its
// archives directory, so the originals are there; dpkg is given what the directory of copies has by
// the same name instead. Many packages at once apt hands over as a directory of links, NN-NAME.deb
// each, in which dpkg is to look for them in the order of their numbers: such a directory becomes a
// list of files. A copy is taken only when the link leads to the very file that it is a copy of.
//
// It is written for sh alone: a process for each package would cost what the copies save.
func script(archives, copies string) string {
	return strings.NewReplacer("ARCHIVES", archives, "COPIES", copies).Replace(`#!/bin/sh
n=$#
while [ "$n" -gt 0 ]; do
	arg=$1
	shift
	n=$((n - 1))
	case $arg in
	--recursive | -R)
		if [ "$n" -gt 0 ] && [ -d "$1" ]; then
			dir=$1
			shift
			n=$((n - 1))
			for link in "$dir"/*.deb; do
				name=${link##*/}
				name=${name#*-}
				if [ "$link" -ef "ARCHIVES/$name" ] && [ -e "COPIES/$name" ]; then
					link=COPIES/$name
				fi
				set -- "$@" "$link"
			done
			continue
		fi
		;;
	ARCHIVES/*.deb)
		if [ -e "COPIES/${arg##*/}" ]; then
			arg=COPIES/${arg##*/}
		fi
		;;
	esac
	set -- "$@" "$arg"
done
exec dpkg "$@"
`)
}
