// Package protocol is the root of everything that two nodes must agree on to
// the byte, and holds no code itself. Read its packages in this order:
//
//	secret     keys that refuse to be printed, compared with == or marshalled
//	label      every domain-separation label, and the one key derivation
//	kem        ML-KEM-768 with randomness as an argument
//	wire       cell, frame, control block and box: the fixed-size formats
//	identity   contact card, invitation, safety words
//	handshake  Noise KKpsk0+psk3 with ML-KEM-768, knock tags, rolling secrets
//	ratchet    Double Ratchet with encrypted headers and ML-KEM in every step
//	onion      packets of the relay network: Sphinx with a KEM for each hop
//	cadence    slots, lanes and periods, delays, the order of catching up
//	drop       boxes that wait at relays: addresses, day keys, control state
//	directory  relays without an authority: vouchers, descriptors, views, ways
//	vault      slots in which levels of records lie that nobody can count
//	mandate    for whom an envoy speaks: a MAC for one listener, a ring for himself
//	sounding   whether both sides have a topic in common: CPace for each pair
//	communique one text signed by two at once, by adaptor pre-signatures
//	charter    what both agree on before a channel opens, and when it ends
//	introduction  two brought together by one who knows both: a sealed invitation
//	shuttle    texts without a sender; offers that both seal before either opens
//	forge      transcripts made by the same code from one side's secrets
//
// Every package below is pure: it starts no goroutine, reads no clock, opens no
// file or socket and writes no log. Time, randomness and bytes come in as
// arguments; bytes come out. cmd/law_test.go holds them to it.
package protocol
