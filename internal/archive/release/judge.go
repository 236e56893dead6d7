package release

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"nsbuild/internal/archive/aptconf"
	"nsbuild/internal/archive/failure"
	"nsbuild/internal/archive/hashes"
	"nsbuild/internal/archive/signature"
)

// judge tells which Release files count.
type judge struct {
	host *aptconf.Host
	now  func() time.Time
	said *onceLog
	mu   sync.Mutex
	keys map[string]*signature.Keyring // that were read, by what they are for
}

// judge verifies a Release file's signature, name and dates, and parses it.
func (j *judge) judge(repo aptconf.Repo, raw *rawFile) (*State, error) {
	text, signers, err := j.authenticate(repo, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	st, err := Parse(text, repo.Quirks.WeakHashes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	st.signers, st.digest, st.modified = signers, hashes.SHA256(text), raw.Modified
	if err := st.checkName(repo); err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	v := j.host.Validity(repo, st.fields["label"])
	v.CheckUntil = v.CheckUntil && !repo.Quirks.ExpiredRelease
	if err := v.Check(st.date, st.until, j.now()); err != nil {
		return nil, fmt.Errorf("%s: %w", raw.Names[0], err)
	}
	return st, nil
}

// authenticate returns the text that is signed, and by whom.
func (j *judge) authenticate(repo aptconf.Repo, raw *rawFile) (text []byte, signers []string,
	err error) {
	var signed, sig []byte
	if raw.Names[0] == "InRelease" {
		text, signed, sig, err = signature.SplitClearsigned(raw.data[0])
		if errors.Is(err, failure.ErrNoSignature) && repo.Trusted {
			text, err = raw.data[0], nil
		}
		if err != nil {
			return nil, nil, err
		}
	} else {
		text, signed = raw.data[0], raw.data[0]
		if len(raw.data) > 1 && !repo.Trusted {
			if sig, err = signature.Dearmor(raw.data[1], openpgp.SignatureType); err != nil {
				return nil, nil, fmt.Errorf("%w: Release.gpg: %w", failure.ErrBadSignature, err)
			}
		}
	}
	if repo.Trusted {
		j.said.warn("%s: NOT VERIFIED, because it is trusted without a signature (%s)", repo,
			cmp.Or(repo.Origin(), "by request"))
		return text, nil, nil
	}
	ring, err := j.keyring(repo)
	if err != nil {
		return nil, nil, err
	}
	now, v := j.now(), j.host.Validity(repo, "")
	if !v.CheckDate {
		now = time.Time{}
	}
	signers, err = ring.Verify(signed, sig, now, v.Future, signature.Leniency{})
	allow := signature.Leniency{WeakKeys: repo.Quirks.WeakKeys,
		ExpiredKeys: repo.Quirks.ExpiredKeys}
	if err != nil && allow != (signature.Leniency{}) {
		strict := err
		if signers, err = ring.Verify(signed, sig, now, v.Future, allow); err == nil {
			j.said.warn(
				"%s: its signature is accepted because the suite is that old, though it would "+
					"not be for a newer one (%v): whoever can forge such signatures can alter "+
					"what you get",
				repo, strict)
		}
	}
	return text, signers, err
}

// keyring is Host.keyring, once for each set of keyrings.
func (j *judge) keyring(repo aptconf.Repo) (*signature.Keyring, error) {
	id := repo.KeySources()
	j.mu.Lock()
	defer j.mu.Unlock()
	if k, ok := j.keys[id]; ok {
		return k, nil
	}
	k, err := j.host.Keyring(repo)
	if err == nil {
		j.keys[id] = k
	}
	return k, err
}
