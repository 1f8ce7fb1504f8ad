// Package attack is an attacker on traces of package sim: he taps every link, may hold
// one drop, and wants to know of any two people whether they talk (docs/simulator.md,
// section 5).
//
//	trace, drop ──> Watcher ──> features of each pair ──> logistic regression ──> AUC
//
// He is trained on networks of other seeds, of which he knows the truth.
package attack
