package provenance

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"nsbuild/internal/rawjson"
	"nsbuild/internal/result"
)

// external is what was asked for: whoever asks decides it.
type external struct {
	Source       sourceAsked `json:"source"`
	Distribution string      `json:"distribution"`
	BuildArch    string      `json:"buildArch"`
	HostArch     string      `json:"hostArch"`
	BuildType    string      `json:"buildType"`
	Profiles     []string    `json:"profiles,omitempty"`
	Buildinfo    string      `json:"buildinfo,omitempty"` // of a rebuild
}

type sourceAsked struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	From    string `json:"from"` // a name or a URL; of a path its last part
}

// internal is what the builder has decided.
type internal struct {
	Options   []string         `json:"debBuildOptions,omitempty"`
	Base      baseUsed         `json:"base"`
	Layer     result.Layer     `json:"layer"`
	Isolation result.Isolation `json:"isolation"`
	Hooks     []hookRun        `json:"hooks,omitempty"`
}

type baseUsed struct {
	Name       string `json:"name"`
	Generation int    `json:"generation"`
	Digest     string `json:"digest"`
}

type hookRun struct {
	Stage   string `json:"stage"`
	Name    string `json:"name"`
	Network bool   `json:"network"`
}

// parameters are what was asked for, and what the builder has decided.
func parameters(r *result.Result, described *Descriptor) (asked external, decided internal) {
	asked = external{Source: sourceAsked{Name: r.Source.Name, Version: r.Source.Version,
		From: publicSource(r.Source.From)}, Distribution: r.Target.Distribution,
		BuildArch: r.Target.BuildArch, HostArch: r.Target.HostArch, BuildType: r.Target.BuildType,
		Profiles: r.Target.Profiles}
	if described != nil {
		asked.Buildinfo = described.Name
	}
	decided = internal{Options: r.Target.Options, Base: baseUsed{r.Inputs.Base.Name,
		r.Inputs.Base.Generation, r.Inputs.Base.Digest}, Layer: r.Inputs.Layer,
		Isolation: r.Isolation}
	for _, h := range r.Hooks {
		decided.Hooks = append(decided.Hooks, hookRun{h.Stage, h.Name, h.Network})
	}
	asked, _ = rawjson.Legible(asked)
	decided, _ = rawjson.Legible(decided)
	return asked, decided
}

// publicSource is a source without what others need not know of the machine and its user.
func publicSource(from string) string {
	if u, err := url.Parse(from); err == nil && u.IsAbs() {
		u.User = nil
		return u.String()
	}
	if strings.HasPrefix(from, "/") || strings.HasPrefix(from, ".") {
		return filepath.Base(from)
	}
	return from
}

// dependencies are all that the build was made from: the files of the source, the Release files,
// and every package that was installed.
func dependencies(r *result.Result, described *Descriptor) (all []Descriptor, err error) {
	if described != nil {
		all = append(all, *described)
	}
	source, err := sourceFiles(r.Source)
	if err != nil {
		return nil, err
	}
	all = append(all, source...)
	for _, rel := range r.Inputs.Releases {
		if rel.SHA256 == "" { // of packages that the cache had
			continue
		}
		all = append(all, Descriptor{Name: "Release of " + rel.Suite,
			URI:    strings.TrimRight(rel.URI, "/") + "/dists/" + rel.Suite + "/Release",
			Digest: map[string]string{"sha256": rel.SHA256}})
	}
	for _, part := range []struct {
		name     string
		packages []result.Package
	}{{"base", r.Inputs.Base.Packages}, {"dependencies", r.Inputs.Dependencies}} {
		for _, p := range part.packages {
			d, err := packageUsed(p, part.name, r.Target)
			if err != nil {
				return nil, err
			}
			all = append(all, d)
		}
	}
	if len(r.Inputs.Base.Packages) == 0 {
		return nil, fmt.Errorf("it is not known what the root of %s had", r.Source.Name)
	}
	return all, nil
}

func sourceFiles(s result.Source) (all []Descriptor, err error) {
	files := s.Files
	if s.DSC != nil {
		files = append([]result.Hashed{*s.DSC}, files...)
	}
	for _, f := range files {
		if f.SHA256 == "" {
			return nil, fmt.Errorf("%s of the source has no SHA-256", f.Name)
		}
		all = append(all, Descriptor{Name: f.Name,
			Digest: map[string]string{"sha256": f.SHA256}})
	}
	if s.TreeDigest != "" {
		all = append(all, Descriptor{Name: s.Name + "-" + s.Version,
			Digest: map[string]string{"nsbuildTree": s.TreeDigest}})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the source of %s has no hash", s.Name)
	}
	return all, nil
}

// packageUsed is a package; its URI is a package URL (purl).
func packageUsed(p result.Package, part string, t result.Target) (Descriptor, error) {
	if p.SHA256 == "" {
		return Descriptor{}, fmt.Errorf("nobody knows any more which file %s %s was installed from",
			p.Name, p.Version)
	}
	purl := "pkg:deb/" + url.PathEscape(cmp.Or(t.Vendor, "debian")) + "/" +
		url.PathEscape(p.Name) + "@" + url.QueryEscape(p.Version) +
		"?arch=" + url.QueryEscape(p.Arch) + "&distro=" + url.QueryEscape(t.Distribution)
	notes := map[string]string{"part": part}
	if p.Release != "" {
		notes["release"] = p.Release
	}
	name := p.Name
	if p.File != "" {
		name = path.Base(p.File)
	}
	d := Descriptor{Name: name, URI: purl,
		Digest: map[string]string{"sha256": p.SHA256}, Annotations: notes}
	if strings.HasPrefix(p.URI, "http") {
		d.DownloadLocation = strings.TrimRight(p.URI, "/") + "/" + p.File
	}
	return d, nil
}
