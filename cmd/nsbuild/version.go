package main

import (
	_ "embed"
	"runtime/debug"
	"strings"
)

// archived is the commit that "git archive" has put in the place of a format; in a clone it is the
// format.
//
//go:embed commit.txt
var archived string

// release is the version, with the commit where that is known: of an archive that git made, or of a
// clone that go built from.
func release() string {
	read, _ := debug.ReadBuildInfo()
	if commit := commitOf(archived, read); commit != "" {
		return version + " (commit " + commit + ")"
	}
	return version
}

// widestCommit is how much of a commit's name is shown.
const widestCommit = 12

func commitOf(archived string, built *debug.BuildInfo) (commit string) {
	modified := false
	if built != nil {
		for _, s := range built.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.modified":
				modified = s.Value == "true"
			}
		}
	}
	if text := strings.TrimSpace(archived); !strings.HasPrefix(text, "$") && text != "" {
		commit, modified = text, false
	}
	commit = commit[:min(len(commit), widestCommit)]
	if commit != "" && modified {
		commit += ", modified"
	}
	return commit
}
