package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"nsbuild/internal/atomicfile"
)

// localMirror starts a web server that has on disk what was asked of it before, and fetches the
// rest: a mirror with just what is needed, for all tools alike.
func (l *lab) localMirror(ctx context.Context) error {
	if l.server != nil {
		return nil
	}
	upstream, err := l.upstream(ctx)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l.mirror = "http://" + listener.Addr().String() + "/debian"
	l.server = &http.Server{Handler: mirror{dir: l.path("mirror"), upstream: upstream}}
	go func() {
		if err := l.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			l.say("the local mirror: %v", err)
		}
	}()
	return nil
}

// upstream is the mirror that the host's apt has the suite from.
func (l *lab) upstream(ctx context.Context) (string, error) {
	out, err := l.command(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)",
		"Created-By: Packages", "Codename: "+l.suite).Output()
	if err != nil {
		return "", fmt.Errorf("asking apt for its mirror: %w", err)
	}
	uri, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if uri == "" {
		return "", fmt.Errorf("the host's apt has no mirror of %s", l.suite)
	}
	return strings.TrimSuffix(uri, "/"), nil
}

// mirror serves the files below a directory, which it fills.
type mirror struct{ dir, upstream string }

func (m mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/debian/")
	if !ok || strings.Contains(name, "..") {
		http.NotFound(w, r)
		return
	}
	file := filepath.Join(m.dir, name)
	if _, err := os.Stat(file); err != nil {
		if status, err := m.fetch(name, file); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		} else if status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
	}
	http.ServeFile(w, r, file)
}

func (m mirror) fetch(name, file string) (status int, err error) {
	answer, err := http.Get(m.upstream + "/" + name)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return 0, err
	}
	f, err := atomicfile.Create(file, atomicfile.Options{})
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, answer.Body)
	if err == nil && answer.ContentLength >= 0 && n != answer.ContentLength {
		err = fmt.Errorf("%s: cut", name)
	}
	if err := f.Finish(err); err != nil {
		return 0, err
	}
	return answer.StatusCode, nil
}
