package xz

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	slow "github.com/mikelolasagasti/xz"
	writer "github.com/ulikunitz/xz"
	model "github.com/ulikunitz/xz/lzma"

	"nsbuild/internal/testenv"
)

// samples are contents with all that an encoder can make of them.
func samples() map[string][]byte {
	chance := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(chance.Uint32())
	}
	var text bytes.Buffer
	for text.Len() < 1<<20 {
		text.WriteString([]string{"all ", "work ", "and no play ", "makes jack\n",
			"a dull boy "}[chance.IntN(5)])
		if chance.IntN(100) == 0 {
			at := chance.IntN(text.Len())
			text.Write(bytes.Clone(text.Bytes()[at:min(at+chance.IntN(3000), text.Len())]))
		}
	}
	mixed := bytes.Join(
		[][]byte{text.Bytes()[:300<<10], noise[:200<<10], text.Bytes()[300<<10 : 700<<10], noise,
			make([]byte, 300<<10)}, nil)
	return map[string][]byte{"empty": {}, "one byte": {7}, "noise": noise, "text": text.Bytes(),
		"mixed": mixed, "zeros": make([]byte, 5<<20)}
}

// rich tells whether a sample has some of everything: it is packed in all ways, others in one.
func rich(name string) bool { return name == "mixed" || name == "empty" }

func pack(t testing.TB, c writer.WriterConfig, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := c.NewWriter(&out)
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(packed []byte, window int64) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(packed), window)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestReader(t *testing.T) {
	all := []writer.WriterConfig{
		{}, {CheckSum: writer.CRC32}, {CheckSum: writer.SHA256}, {NoCheckSum: true},
		{DictCap: 64 << 10}, {BlockSize: 700 << 10},
		{Properties: &model.Properties{LC: 0, LP: 2, PB: 0}},
		{Properties: &model.Properties{LC: 1, LP: 3, PB: 4}},
	}
	for name, data := range samples() {
		configs := all
		if !rich(name) {
			if testing.Short() { // packing takes minutes with the race detector
				continue
			}
			configs = all[:1]
		}
		for _, c := range configs {
			got, err := unpack(pack(t, c, data), 64<<20)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %+v: %d of %d bytes, %v", name, c, len(got), len(data), err)
			}
		}
		twice := append(append(pack(t, writer.WriterConfig{}, data), 0, 0, 0, 0),
			pack(t, writer.WriterConfig{CheckSum: writer.CRC32}, data)...)
		if got, err := unpack(twice, 64<<20); err != nil ||
			!bytes.Equal(got, append(bytes.Clone(data), data...)) {
			t.Errorf("%s, two streams: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestOthersWork reads what xz(1) makes, where that is installed: levels, several threads, other
// filters.
func TestOthersWork(t *testing.T) {
	testenv.RequireTool(t, "xz")
	all := [][]string{{"-9e"}, {"-0"}, {"-6"}, {"-T2", "--block-size=600KiB"},
		{"--x86", "--lzma2"}, {"--delta=dist=4", "--lzma2"}, {"--check=none"}}
	for name, data := range samples() {
		ways := all
		if !rich(name) {
			if testing.Short() {
				continue
			}
			ways = all[:1]
		}
		for _, args := range ways {
			cmd := exec.Command("xz", append([]string{"-c"}, args...)...)
			cmd.Stdin = bytes.NewReader(data)
			packed, err := cmd.Output()
			if err != nil {
				t.Fatalf("xz %q: %v", args, err)
			}
			if got, err := unpack(packed, 128<<20); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, xz %q: %d of %d bytes, %v", name, args, len(got), len(data), err)
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	data := samples()["mixed"][450<<10 : 550<<10] // noise, then text
	good := pack(t, writer.WriterConfig{DictCap: 1 << 20}, data)
	if _, err := unpack(good, 1<<19); !errors.Is(err, ErrDictionary) {
		t.Errorf("a window beyond the limit: %v", err)
	}
	if _, err := unpack(append(bytes.Clone(good), "trailing"...), 1<<20); err == nil {
		t.Error("what follows was accepted")
	}
	chance := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		bad := bytes.Clone(good)
		at, bit := chance.IntN(len(bad)), byte(1)<<chance.IntN(8)
		bad[at] ^= bit
		if _, err := unpack(bad, 1<<20); err == nil {
			t.Errorf("byte %d of %d, bit %02x: accepted", at, len(bad), bit)
		}
	}
	for range 50 {
		if n := chance.IntN(len(good)); n > 0 {
			if got, err := unpack(good[:n], 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut after %d of %d bytes: %d bytes, %v", n, len(good), len(got), err)
			}
		}
	}
	for _, text := range []string{"", "x", "no xz file at all, is it"} {
		if _, err := unpack([]byte(text), 1<<20); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// FuzzReader compares with another unpacker: whatever both accept is the same.
func FuzzReader(f *testing.F) {
	for _, data := range [][]byte{{}, []byte("a"), bytes.Repeat([]byte("abcabcabd"), 500)} {
		f.Add(pack(f, writer.WriterConfig{DictCap: 1 << 16}, data))
		f.Add(pack(f, writer.WriterConfig{DictCap: 1 << 16, CheckSum: writer.CRC32,
			Properties: &model.Properties{LC: 0, LP: 1, PB: 1}}, data))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := unpack(in, 1<<20)
		if err != nil {
			return
		}
		r, err := slow.NewReader(bytes.NewReader(in), 1<<20)
		var want []byte
		if err == nil {
			want, err = io.ReadAll(r)
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes; the other has %d, %v", len(got), len(want), err)
		}
	})
}

// BenchmarkReader unpacks the file that XZ_FILE names, or made-up text.
func BenchmarkReader(b *testing.B) {
	packed := pack(b, writer.WriterConfig{}, samples()["text"])
	if name := os.Getenv("XZ_FILE"); name != "" {
		var err error
		if packed, err = os.ReadFile(filepath.Clean(name)); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		open func(io.Reader) (io.Reader, error)
	}{
		{"this", func(r io.Reader) (io.Reader, error) { return NewReader(r, 128<<20) }},
		{"other", func(r io.Reader) (io.Reader, error) { return slow.NewReader(r, 128<<20) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				r, err := c.open(bytes.NewReader(packed))
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, r)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}
