package fetch

import (
	"net/http"
	"testing"
	"time"
)

// TestRetryAfter reads both forms in which a server says when to come again.
func TestRetryAfter(t *testing.T) {
	later := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for text, want := range map[string][2]time.Duration{
		"":                              {0, 0},
		"7":                             {7 * time.Second, 7 * time.Second},
		"-7":                            {0, 0},
		"99999999999999999999":          {0, 0},
		"soon":                          {0, 0},
		"Wed, 21 Oct 2015 07:28:00 GMT": {0, 0},
		later:                           {59 * time.Minute, time.Hour},
	} {
		got := retryAfter(http.Header{"Retry-After": {text}})
		if got < want[0] || got > want[1] {
			t.Errorf("%q: %v", text, got)
		}
	}
}
