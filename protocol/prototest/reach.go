package prototest

import (
	"reflect"
	"slices"
)

// Reaches reports whether something that is found can be got at from a value: over
// pointers, interfaces, fields but those with the names given, elements, keys; not over
// functions and channels.
func Reaches(v any, found func(reflect.Value) bool, but ...string) bool {
	seen := map[[2]any]bool{}
	var walk func(v reflect.Value) bool
	walk = func(v reflect.Value) bool {
		if !v.IsValid() {
			return false
		}
		if found(v) {
			return true
		}
		switch v.Kind() {
		case reflect.Pointer:
			at := [2]any{v.Type(), v.Pointer()}
			if v.IsNil() || seen[at] {
				return false
			}
			seen[at] = true
			return walk(v.Elem())
		case reflect.Interface:
			return walk(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				if !slices.Contains(but, v.Type().Field(i).Name) && walk(v.Field(i)) {
					return true
				}
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				if walk(v.Index(i)) {
					return true
				}
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				if walk(it.Key()) || walk(it.Value()) {
					return true
				}
			}
		default:
		}
		return false
	}
	return walk(reflect.ValueOf(v))
}
