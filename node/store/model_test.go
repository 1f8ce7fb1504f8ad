package store

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestModel holds random commits and reopenings against a map.
func TestModel(t *testing.T) {
	t.Parallel()
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		cfg := Config{Dir: filepath.Join(dir, strconv.Itoa(n)), Cost: Cheap}
		if err := Create(cfg, testPass); err != nil {
			rt.Fatalf("creating: %v", err)
		}
		s, err := Open(cfg, testPass)
		if err != nil {
			rt.Fatalf("opening: %v", err)
		}
		defer func() { _ = s.Close() }()
		model := make(map[Key][]byte)
		keys := rapid.Custom(func(rt *rapid.T) Key {
			return Key{
				Kind:   Kind(rapid.IntRange(1, 3).Draw(rt, "kind")),
				Object: [16]byte{15: byte(rapid.IntRange(0, 2).Draw(rt, "object"))},
				Seq:    rapid.Uint64Range(0, 4).Draw(rt, "seq"),
			}
		})
		writes := rapid.Custom(func(rt *rapid.T) Write {
			size := rapid.SampledFrom([]int{0, 10, 300, 3000, 12000}).Draw(rt, "size")
			return Write{
				Key:    keys.Draw(rt, "key"),
				Value:  bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(rt, "fill"))}, size),
				Delete: rapid.Bool().Draw(rt, "delete"),
			}
		})
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) {
				batch := rapid.SliceOfN(writes, 0, 6).Draw(rt, "writes")
				if err := s.Commit(batch...); err != nil {
					rt.Fatalf("committing: %v", err)
				}
				for _, w := range batch {
					if w.Delete {
						delete(model, w.Key)
					} else {
						model[w.Key] = w.Value
					}
				}
			},
			"reopen": func(rt *rapid.T) {
				if err := s.Close(); err != nil {
					rt.Fatalf("closing: %v", err)
				}
				if s, err = Open(cfg, testPass); err != nil {
					rt.Fatalf("opening: %v", err)
				}
				if s.RolledBack() {
					rt.Fatal("rolled back")
				}
			},
			"get": func(rt *rapid.T) {
				k := keys.Draw(rt, "key")
				v, err := s.Get(k)
				if want, ok := model[k]; ok != (err == nil) || !bytes.Equal(v, want) || !ok && !errors.Is(err, ErrNotFound) {
					rt.Fatalf("%v: got %d bytes, error %v", k, len(v), err)
				}
			},
			"": func(rt *rapid.T) {
				var met []Key
				for kind := Kind(1); kind <= 3; kind++ {
					for r, err := range s.ScanKind(kind) {
						if err != nil || !bytes.Equal(r.Value, model[r.Key]) {
							rt.Fatalf("scanning: %v, error %v", r.Key, err)
						}
						met = append(met, r.Key)
					}
				}
				if want := slices.SortedFunc(maps.Keys(model), Key.Compare); !slices.Equal(met, want) {
					rt.Fatalf("scan met %v, want %v", met, want)
				}
			},
		})
	})
}
