package journal

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New(time.Now)
		for n := range MaxEntries + 10 {
			j.Add(WrongPassphrase, CountOf(n))
		}
		if got := j.Entries(true); len(got) != MaxEntries || got[0].Count != CountOf(10) {
			t.Errorf("%d entries, the first %v", len(got), got[0])
		}
		time.Sleep(MaxAge / 2)
		j.Add(Locked)
		time.Sleep(MaxAge/2 + time.Second)
		if got := j.Entries(true); len(got) != 1 || got[0].Event != Locked {
			t.Errorf("after an hour there is still %v", got)
		}
		if rest := j.entries[:cap(j.entries)][len(j.entries)]; rest != (Entry{}) {
			t.Errorf("what was forgotten is still in memory: %v", rest)
		}
	})
}

func TestLevels(t *testing.T) {
	j := New(time.Now)
	j.Add(DialBegan)
	if len(j.Entries(true)) != 0 {
		t.Error("a dial is remembered at level normal")
	}
	j.SetLevel(Debug)
	j.Add(DialBegan)
	if len(j.Entries(true)) != 1 {
		t.Error("a dial is not remembered at level debug")
	}
	j.SetLevel(Off)
	j.Add(Locked)
	j.SetLevel(Normal)
	if got := j.Entries(true); len(got) != 0 {
		t.Errorf("off left %v", got)
	}
}

func TestLinesAreForgotten(t *testing.T) {
	j := New(time.Now)
	j.Add(LinkUp, j.NewLink(), Outgoing)
	j.Add(LockedItself, DiskFull)
	if got := j.Entries(false); len(got) != 1 || got[0].Event != LockedItself {
		t.Errorf("without lines: %v", got)
	}
	j.ForgetLines()
	if got := j.Entries(true); len(got) != 1 || got[0].Reason != DiskFull {
		t.Errorf("after forgetting: %v", got)
	}
}

func TestOldEntriesComeInOrder(t *testing.T) {
	j := New(time.Now)
	j.Add(Locked)
	j.AddAt(time.Now().Add(-time.Minute), Rested)
	if got := j.Entries(true); got[0].Event != Rested || got[1].Event != Locked {
		t.Errorf("out of order: %v", got)
	}
}

func TestBuckets(t *testing.T) {
	for n, want := range map[int]string{-1: "0", 0: "0", 9: "9", 10: "10 or more", 73: "10 or more", 100: "100 or more", 1e9: "1000 or more"} {
		if got := CountOf(n).String(); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "under 1 s", time.Second: "under 10 s", 59 * time.Minute: "under 1 h", 48 * time.Hour: "1 h or more"} {
		if got := TookOf(d).String(); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestEverythingHasWords(t *testing.T) {
	for e := Event(1); e < 255; e++ {
		named := e <= NotStored || e >= DialBegan && e <= RolledBack
		if (e.String() != "no event") != named {
			t.Errorf("event %d is %q", e, e)
		}
	}
	for r := OtherReason; r <= CommitFailed; r++ {
		if r.String() == "" || r.String() == "no reason" {
			t.Errorf("reason %d has no words", r)
		}
	}
}

// TestNoTextCanBeHandedOver looks at every exported function and method of the
// package: through none of its parameters can a text, bytes or a value of another
// package's making come in, and no entry has room for one.
func TestNoTextCanBeHandedOver(t *testing.T) {
	pkg := typesOf(t, "")
	looked := 0
	for _, f := range exported(pkg) {
		looked++
		if where := carriesText(f.Signature().Params(), pkg); where != "" {
			t.Errorf("%s takes a text: %s", f.Name(), where)
		}
	}
	if looked < 15 {
		t.Fatalf("only %d functions were looked at", looked)
	}
	field := pkg.Scope().Lookup("Field").Type().Underlying().(*types.Interface)
	fields := 0
	for _, name := range pkg.Scope().Names() {
		named, ok := pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok {
			continue
		}
		typ := named.Type()
		if !types.IsInterface(typ) && types.Implements(typ, field) {
			fields++
			if where := textIn(typ, pkg); where != "" {
				t.Errorf("the field %s holds a text: %s", name, where)
			}
		}
	}
	if fields != 5 {
		t.Errorf("%d kinds of field, want 5", fields)
	}
	if where := textIn(pkg.Scope().Lookup("Entry").Type(), pkg); where != "" {
		t.Errorf("an entry holds a text: %s", where)
	}
	for _, planted := range []string{
		"// Note is planted.\nfunc (j *Journal) Note(s string) {}", "// Note is planted.\nfunc (j *Journal) Note(fields ...any) {}",
		"// Note is planted.\nfunc Note(b []byte) {}", "// Note is planted.\nfunc Note(err error) {}",
		"// Name is planted.\ntype Name string\n\n// Note is planted.\nfunc Note(n Name) {}",
	} {
		pkg, caught := typesOf(t, planted), false
		for _, f := range exported(pkg) {
			caught = caught || carriesText(f.Signature().Params(), pkg) != ""
		}
		if !caught {
			t.Errorf("not noticed: %s", planted)
		}
	}
}

// typesOf reads the package, with some text at the end of one of its files.
func typesOf(t *testing.T, more string) *types.Package {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range []string{"journal.go", "field.go", "event.go"} {
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	f, err := parser.ParseFile(fset, "planted.go", "package journal\n\n"+more, 0)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := (&types.Config{Importer: importer.ForCompiler(fset, "source", nil)}).Check("journal", fset, append(files, f), nil)
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

func exported(pkg *types.Package) (list []*types.Func) {
	for _, name := range pkg.Scope().Names() {
		switch o := pkg.Scope().Lookup(name).(type) {
		case *types.Func:
			if o.Exported() {
				list = append(list, o)
			}
		case *types.TypeName:
			methods := types.NewMethodSet(types.NewPointer(o.Type()))
			for i := range methods.Len() {
				if f, ok := methods.At(i).Obj().(*types.Func); ok && f.Exported() {
					list = append(list, f)
				}
			}
		}
	}
	return list
}

func carriesText(params *types.Tuple, pkg *types.Package) string {
	for v := range params.Variables() {
		if where := textIn(v.Type(), pkg); where != "" {
			return where
		}
	}
	return ""
}

// textIn says where in a type a text could be, or nothing. Times and the closed
// interface of this package hold none.
func textIn(typ types.Type, pkg *types.Package) string {
	if s := typ.String(); s == "time.Time" || s == "time.Duration" {
		return ""
	}
	switch u := typ.Underlying().(type) {
	case *types.Basic:
		if u.Info()&types.IsNumeric == 0 && u.Info()&types.IsBoolean == 0 {
			return typ.String()
		}
	case *types.Interface:
		for m := range u.Methods() {
			if !m.Exported() && m.Pkg() == pkg {
				return "" // nobody else can implement it
			}
		}
		return typ.String()
	case *types.Slice:
		if strings.HasSuffix(typ.String(), "byte") {
			return typ.String()
		}
		return textIn(u.Elem(), pkg)
	case *types.Struct:
		for v := range u.Fields() {
			if where := textIn(v.Type(), pkg); where != "" {
				return v.Name() + " " + where
			}
		}
	case *types.Signature:
		if u.Results().Len() == 1 {
			return textIn(u.Results().At(0).Type(), pkg) // a clock
		}
		return typ.String()
	default:
		return typ.String()
	}
	return ""
}
