// Package apparmor has nsbuild's AppArmor profile.
package apparmor

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed nsbuild
var shipped string

// attachment is the program that the profile is shipped for.
const attachment = `"/usr/bin/nsbuild"`

// Profile is the profile of a program that lies elsewhere.
func Profile(program string) (string, error) {
	if strings.ContainsAny(program, "\"\\\n") || !strings.HasPrefix(program, "/") {
		return "", fmt.Errorf("AppArmor profiles cannot name %q", program)
	}
	var literal strings.Builder
	for _, c := range program {
		if strings.ContainsRune("*?[]{}^,@", c) { // apparmor.d(5), "Globbing" and variables
			literal.WriteRune('\\')
		}
		literal.WriteRune(c)
	}
	return strings.Replace(shipped, attachment, `"`+literal.String()+`"`, 1), nil
}
