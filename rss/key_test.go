package rss

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const microsoftHex = "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"

func TestParseKey(t *testing.T) {
	colons := strings.Join(slices.Collect(chunks(microsoftHex, 2)), ":") // as ethtool -x prints it
	for _, text := range []string{microsoftHex, strings.ToUpper(microsoftHex), colons} {
		if key, err := ParseKey(text); err != nil || key != MicrosoftKey {
			t.Errorf("ParseKey(%q) = %x, %v", text, key[:], err)
		}
	}
	for _, text := range []string{"", "6d5a", microsoftHex[2:], microsoftHex + "00", "zz" + microsoftHex[2:], microsoftHex[:79] + ":"} {
		if key, err := ParseKey(text); err == nil || key != (Key{}) {
			t.Errorf("ParseKey(%q) = %x, %v; want the zero key and an error", text, key[:], err)
		}
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	for _, text := range []string{fmt.Sprint(MicrosoftKey), fmt.Sprintf("%+v", struct{ Key Key }{MicrosoftKey})} {
		if !strings.Contains(text, "(secret)") || strings.Contains(text, "109") {
			t.Errorf("printed as %s", text)
		}
	}
}

// chunks cuts s into pieces of n bytes.
func chunks(s string, n int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for ; len(s) >= n && yield(s[:n]); s = s[n:] {
		}
	}
}

func TestRandomKey(t *testing.T) {
	a, errA := RandomKey()
	b, errB := RandomKey()
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a == b {
		t.Errorf("two draws gave the same key")
	}
	for _, key := range []Key{a, b} {
		if err := key.Degenerate(); err != nil {
			t.Errorf("drawn key %x: %v", key[:], err)
		}
	}
}

func TestFirstSound(t *testing.T) {
	broken := errors.New("broken")
	if _, err := firstSound(func(*Key, uint8) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("source that fails: error %v", err)
	}
	attempts := 0
	if _, err := firstSound(func(*Key, uint8) error { attempts++; return nil }); err == nil || attempts != 256 {
		t.Errorf("source of zeros: %d attempts, error %v; want 256 and an error", attempts, err)
	}
}

var secret = []byte("an example of a secret, for tests only")

// Nodes of different versions must derive the same key: these values never
// change. They were computed twice, the other time in Python.
func TestDeriveKeyIsStable(t *testing.T) {
	for _, c := range []struct {
		generation uint64
		want       string
	}{
		{42, "2c9db63ebc6a692ddcdbb9e25ab7d07c8191f806a37c13e9c980ca257393c75b2562f462edc241b1"}, // the fifth attempt
		{51, "795bb4027b204577c5950374ffb1b1f246ec1bed278d04beec08f68e387322d8ecfd957b2ada8e33"},
	} {
		key, err := DeriveKey(secret, "site-a", c.generation)
		if got := hex.EncodeToString(key[:]); err != nil || got != c.want {
			t.Errorf("generation %d: %s, %v; want %s", c.generation, got, err, c.want)
		}
	}
}

func TestDeriveKeyDependsOnEverything(t *testing.T) {
	seen := make(map[Key]string)
	for _, c := range []struct {
		name       string
		secret     []byte
		cluster    string
		generation uint64
	}{
		{"base", secret, "site-a", 1},
		{"other secret", bytes.ToUpper(secret), "site-a", 1},
		{"other cluster", secret, "site-b", 1},
		{"no cluster", secret, "", 1},
		{"next generation", secret, "site-a", 2},
		{"high generation", secret, "site-a", 1 << 56},
		{"cluster that ends like a generation", secret, "site-a\x00\x00\x00\x00\x00\x00\x00\x01", 1},
	} {
		key, err := DeriveKey(c.secret, c.cluster, c.generation)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Degenerate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if twin, ok := seen[key]; ok {
			t.Errorf("%s: same key as %s", c.name, twin)
		}
		seen[key] = c.name
	}
}

func TestDeriveKeyRefusesShortSecret(t *testing.T) {
	if _, err := DeriveKey(secret[:MinSecret-1], "site-a", 1); err == nil {
		t.Errorf("secret of %d bytes: no error", MinSecret-1)
	}
	if _, err := DeriveKey(secret[:MinSecret], "site-a", 1); err != nil {
		t.Errorf("secret of %d bytes: %v", MinSecret, err)
	}
}

// A key that passes has a port for every bucket, whatever their number.
func TestSoundKeysHaveAllPorts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		key := anyKey.Draw(r, "key")
		if err := key.Degenerate(); err != nil {
			r.Skip(err)
		}
		h := NewHasher(key)
		for buckets := MinBuckets; buckets <= MaxBuckets; buckets *= 2 {
			for _, v6 := range []bool{false, true} {
				if _, err := NewPorts(h, v6, buckets); err != nil {
					r.Fatalf("%d buckets, v6 %v: %v", buckets, v6, err)
				}
			}
		}
	})
}
