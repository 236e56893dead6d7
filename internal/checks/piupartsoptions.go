package checks

import "strings"

// Options of piuparts (piuparts(1)) that say what nsbuild says: which base it starts from, where
// packages come from, and where it works. Without a value are -a, -p and their long forms.
const (
	piupartsOurs   = "abdeKmpt"
	piupartsValues = "bBdDeiIKlmsSt" // that take a value, ours or not
)

var piupartsOursLong = []string{
	"--apt", "--arch", "--basetgz", "--bootstrapcmd", "--distribution", "--docker-image",
	"--existing-chroot", "--extra-repo", "--keyring", "--lvm-snapshot-size", "--lvm-volume",
	"--mirror", "--pbuilder", "--proxy", "--schroot", "--testdebs-repo", "--tmpdir",
}

// SplitPiuparts tells options of piuparts from those that nsbuild gives it itself. The latter come
// without their values.
func SplitPiuparts(options []string) (theirs, ours []string) {
	for i := 0; i < len(options); i++ {
		isOurs, value := piupartsOption(options[i])
		if !isOurs {
			theirs = append(theirs, options[i])
			continue
		}
		ours = append(ours, options[i])
		if value {
			i++
		}
	}
	return theirs, ours
}

// piupartsOption tells whether a word is an option that is ours, and whether its value is the next
// word.
func piupartsOption(word string) (ours, value bool) {
	if name, _, joined := strings.Cut(word, "="); strings.HasPrefix(name, "--") {
		for _, o := range piupartsOursLong { // which may be shortened
			if len(name) > 3 && strings.HasPrefix(o, name) {
				return true, !joined && o != "--apt" && o != "--pbuilder"
			}
		}
		return false, false
	}
	if !strings.HasPrefix(word, "-") {
		return false, false
	}
	for i, letter := range word[1:] { // several may be joined
		ours = ours || strings.ContainsRune(piupartsOurs, letter)
		if strings.ContainsRune(piupartsValues, letter) {
			return ours, ours && i == len(word)-2
		}
	}
	return ours, false
}
