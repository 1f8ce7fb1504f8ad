package prototest

import (
	"math/bits"
	"slices"
)

// Features are what something is judged by, with their names.
type Features struct {
	Names  []string
	Values []float64
}

// Add adds one number.
func (f *Features) Add(name string, v float64) {
	f.Names = append(f.Names, name)
	f.Values = append(f.Values, v)
}

// Series adds what a list of numbers is like.
func (f *Features) Series(name string, v []float64) {
	if len(v) == 0 {
		v = []float64{-1}
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	f.Add(name+", first", v[0])
	f.Add(name+", last", v[len(v)-1])
	f.Add(name+", mean", sum/float64(len(v)))
	f.Add(name+", least", slices.Min(v))
	f.Add(name+", most", slices.Max(v))
}

// Noise adds what bytes are like that ought to be noise.
func (f *Features) Noise(name string, b []byte) {
	var histogram [256]float64
	ones, sum, repeats := 0, 0, 0
	for i, x := range b {
		histogram[x]++
		ones += bits.OnesCount8(x)
		sum += int(x)
		if i > 0 && b[i-1] == x {
			repeats++
		}
	}
	n := float64(max(len(b), 1))
	chi := 0.0
	for _, h := range histogram {
		chi += (h - n/256) * (h - n/256) / (n / 256)
	}
	f.Add(name+": chi-square", chi)
	f.Add(name+": ones", float64(ones)/n)
	f.Add(name+": mean", float64(sum)/n)
	f.Add(name+": repeats", float64(repeats)/n)
	f.Add(name+": zeros", histogram[0])
	if len(b) > 0 {
		f.Add(name+": first", float64(b[0]))
		f.Add(name+": last", float64(b[len(b)-1]))
	} else {
		f.Add(name+": first", -1)
		f.Add(name+": last", -1)
	}
}
