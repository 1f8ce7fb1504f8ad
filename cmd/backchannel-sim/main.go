// Command backchannel-sim plays a network of relays in virtual time and writes what
// somebody sees who taps every link. See docs/simulator.md.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
