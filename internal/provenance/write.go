package provenance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"nsbuild/internal/atomicfile"
)

// Write stores statements in a file, a line for each, in one step. Where there is a key, each is in
// an envelope.
func Write(ctx context.Context, file string, all []*Statement, key *Key) error {
	var text bytes.Buffer
	for _, s := range all {
		line, err := marshal(s)
		if err == nil && key != nil {
			line, err = sign(ctx, line, key)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
		text.Write(append(line, '\n'))
	}
	err := atomicfile.Write(file, text.Bytes(), atomicfile.Options{Mode: 0o644, Sync: true})
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// sign puts a statement into an envelope.
func sign(ctx context.Context, statement []byte, key *Key) ([]byte, error) {
	signer, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		return nil, err
	}
	e, err := signer.SignPayload(ctx, payloadType, statement)
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}
