package apt

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"nsbuild/internal/sandbox"
)

// debcheck has dose-debcheck look at all packages that apt's lists have, and at one more.
const debcheck = `conf=$1 more=$2 name=$3 arch=$4
{
	apt-get -c "$conf" indextargets --format '$(FILENAME)' 'Created-By: Packages' |
	while read -r file; do
		/usr/lib/apt/apt-helper -c "$conf" cat-file "$file"
		echo
	done
	cat "$more"
} | dose-debcheck --checkonly="$name:$arch" --failures --explain --deb-native-arch="$arch"
`

// Debcheck asks the jail's dose-debcheck why a package cannot be installed: paragraph is what a
// list would say of it. What it finds goes to out. It knows no priorities of versions.
func (a *Apt) Debcheck(ctx context.Context, out io.Writer, name, arch, paragraph string) error {
	more := path.Join(filesDir, name+".list")
	if err := a.write(more, 0o644, strings.NewReader(paragraph)); err != nil {
		return fmt.Errorf("asking dose-debcheck: %w", err)
	}
	status, err := a.jail.RunTo(ctx, sandbox.Command{
		Argv: []string{"/bin/sh", "-c", debcheck, "dose-debcheck", configFile, more, name, arch},
		Env:  a.env}, out, out)
	if err == nil && status.Code >= 64 { // below, it has found something
		err = fmt.Errorf("%s", status)
	}
	if err != nil {
		return fmt.Errorf("asking dose-debcheck: %w", err)
	}
	return nil
}
