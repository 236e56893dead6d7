package fstab

import (
	"path"
	"slices"
)

// remount reads a line with the option remount, as files have it that make a bind read-only in a
// second step: "/a /b none remount,bind,ro". It changes the last mount on the same place, which is
// then made as changed from the start. What the line does not name stays as it was.
func (t *Table) remount(target, text string, words []string) (_ *Mount, notes []string, _ *Error) {
	words = slices.DeleteFunc(words, func(word string) bool { return word == "remount" })
	changed := t.mountOn(target)
	if changed == nil {
		note := target + " is not mounted anew: no line before mounts it"
		return nil, []string{note}, nil
	}
	before := *changed
	o := options{mount: changed}
	if reason := o.read(words); reason != "" {
		return nil, nil, &Error{Field: "fs_mntops", Value: text, Reason: reason}
	}
	changed.Lowers, changed.Upper, changed.Work = before.Lowers, before.Upper, before.Work
	switch data := before.Data; {
	case changed.Type != "tmpfs":
		changed.leaveOutData(&o)
	case data != "" && changed.Data != "":
		changed.Data = data + "," + changed.Data // of two values the kernel takes the last
	case data != "":
		changed.Data = data
	}
	for _, note := range o.allNotes() {
		notes = append(notes, target+": "+note)
	}
	return nil, notes, nil
}

// mountOn is the mount that is uppermost at a place, or nil.
func (t *Table) mountOn(target string) *Mount {
	for i, m := range slices.Backward(t.Mounts) {
		if path.Clean(m.Target) == path.Clean(target) {
			return &t.Mounts[i]
		}
	}
	return nil
}
