package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"
	"bytes"

	"nsbuild/internal/bootstrap/unpack"
	"nsbuild/internal/deb"
)

func main() {
	cache, tree, kind := os.Args[1], os.Args[2], os.Args[3]
	files, _ := filepath.Glob(filepath.Join(cache, kind, "*", "*.deb"))
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	enc.Encode(unpack.Plan{Tree: tree, Debs: cache, Database: true, Epoch: time.Now()})
	for i, f := range files {
		r, _ := os.Open(f)
		d, err := deb.NewReader(r, deb.Limits{})
		if err != nil { panic(err) }
		c := string(d.ControlFile("control").Body)
		name := ""
		for _, l := range strings.Split(c, "\n") {
			if n, ok := strings.CutPrefix(l, "Package: "); ok { name = n }
		}
		rel, _ := filepath.Rel(cache, f)
		enc.Encode(unpack.Item{Path: rel, Name: name, Rank: i})
		r.Close()
	}
	prof, _ := os.Create("/var/tmp/speed/cpu.prof")
	debug.SetMemoryLimit(96 << 20)
	pprof.StartCPUProfile(prof)
	start := time.Now()
	err := unpack.Extract(&in, io.Discard)
	fmt.Println(err, time.Since(start))
	pprof.StopCPUProfile()
}
