// Package node is a principal's machine at run time: it opens the store when its
// owner unlocks it, keeps one conversation for each contact, and connects them
// to the network (docs/architecture.md).
//
// # Goroutines
//
//	Run        one; waits for Unlock, then runs the desk until Lock, and so on
//	cover      one, as long as Run; has the line with the relay network while no desk
//	           is online, and sends loops on it. A desk takes the line over when it
//	           goes online, and gives it back when it ends
//	desk       Run's own goroutine while unlocked: the one owner of the store and
//	           of all conversations. Everything else hands it work, in a channel
//	           of bounded length, and waits for its turn
//	network    one, p2p.Network.Run; ends with the desk
//	accept     one; takes incoming streams
//	link       one per connection: hellos, then reads boxes and hands them over
//	writer     one per connection: writes the boxes that the desk put in its queue
//	reader     one per contact while files go out: reads and checks them
//	writer     one per contact while files come in: writes them where they belong
//	guard      two while there is a link with a relay: one reads, one sends packets at
//	           their moments; now and then one that dials or asks for relays. They are
//	           the line's, hand their work to whoever has it, and outlive the desk
//	dial       one per contact, now and then two: one may be under way when the
//	           contact connects and leaves again
//
// All of them end before Lock returns and before Run does, but for cover and guard, which
// end before Run does. A queue that is full
// ends the connection that it belongs to; nothing is lost by that, since what is
// not acknowledged is sent again.
//
// # Locked, resting, open
//
// A locked node has no keys and no connections to contacts, and receives nothing. If its
// machine is in a relay network, loops leave, as many as packets at other times. After some
// time without a command (15 minutes) a node rests: it goes on receiving, and what
// was written before goes on its way; but it shows nothing and takes no command
// until a passphrase is given. Any that opens something then has it close what was
// open, and open that for reading.
package node
