package sandbox

import (
	"bytes"
	"testing"
)

// TestPipesOpenedAnew has commands of every user open the pipes of RunTo, as a build's are, and not
// the other way round.
func TestPipesOpenedAnew(t *testing.T) {
	j := hostJail(t, startHolder(t))
	for _, uid := range []int{0, 1000, 65534} {
		var out, errs bytes.Buffer
		script := `echo 1 >/dev/stdout; echo 2 >/dev/stderr; echo 3 | tee /dev/stderr; exec 3>&1; echo 4 >/dev/fd/3
			(read line </proc/$$/fd/1) 2>/dev/null && echo read; (exec 3<>/proc/$$/fd/1) 2>/dev/null && echo both`
		st, err := j.RunTo(t.Context(), Command{
			Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=" + DefaultPath},
			UID: uid, GID: uid,
		}, &out, &errs)
		if err != nil || out.String() != "1\n3\n4\n" || errs.String() != "2\n3\n" {
			t.Errorf("uid %d: %q, %q, %v %v", uid, out.String(), errs.String(), st, err)
		}
	}
}
