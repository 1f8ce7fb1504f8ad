package link

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/backchannel/backchannel/protocol/onion"
)

// Bounds of gossip.
const (
	// MaxGossip is the longest message in bytes: a voucher and a descriptor, or a proof.
	MaxGossip = 16 << 10
	// gossipEach is how many messages a minute one neighbour may pass on.
	gossipEach   = 64
	gossipMinute = time.Minute
	maxGossipers = 1024
	// gossipAtOnce is how many messages are judged at once. gossipsub drops what comes beside
	// them, has seen it, and takes it from nobody again: so all that one neighbour may pass on
	// fits in.
	gossipAtOnce = gossipEach
)

// A Judgement says what becomes of a message that came.
type Judgement int

// The judgements.
const (
	Accept Judgement = iota + 1 // new: it is passed on
	Ignore                      // nothing new, and nobody's fault
	Reject                      // nobody who keeps to the rules would have sent it
)

// String names the judgement.
func (j Judgement) String() string {
	switch j {
	case Accept:
		return "accept"
	case Ignore:
		return "ignore"
	case Reject:
		return "reject"
	}
	return "unknown"
}

// Gossip floods messages among relays.
type Gossip struct {
	topic *pubsub.Topic
	judge Judge
	own   peer.ID

	mu     sync.Mutex
	counts map[peer.ID]*allowance // guarded by mu
}

// A Judge says who may gossip, and about what. Its methods are called by several at once.
type Judge interface {
	// Relay reports whether somebody is a relay: others are not heard.
	Relay(id onion.ID) bool
	// Judge takes a message that a relay has passed on. What it accepts goes on to others.
	Judge(message []byte) Judgement
}

// Gossip joins the relays in a topic, until ctx ends.
func (h *Host) Gossip(ctx context.Context, topic string, judge Judge) (*Gossip, error) {
	g := &Gossip{judge: judge, own: h.host.ID(), counts: map[peer.ID]*allowance{}}
	relays := func(p peer.ID, _ string) bool {
		id, err := idOfPeer(p)
		return err == nil && judge.Relay(id)
	}
	router, err := pubsub.NewGossipSub(ctx, h.host, append(gossipOptions(topic), pubsub.WithPeerFilter(relays))...)
	if err != nil {
		return nil, errors.New("link: starting gossip")
	}
	if err := router.RegisterTopicValidator(topic, g.validate, pubsub.WithValidatorInline(false), pubsub.WithValidatorConcurrency(gossipAtOnce)); err != nil {
		return nil, errors.New("link: starting gossip")
	}
	if g.topic, err = router.Join(topic); err != nil {
		return nil, errors.New("link: joining the topic")
	}
	// Without a subscription or this nothing is passed on. There is nobody to read one:
	// judge has seen every message.
	if _, err := g.topic.Relay(); err != nil {
		return nil, errors.New("link: joining the topic")
	}
	return g, nil
}

func gossipOptions(topic string) []pubsub.Option {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dout, p.Dscore, p.Dlazy = 6, 4, 12, 2, 4, 6
	return []pubsub.Option{
		pubsub.WithLogger(slog.New(slog.DiscardHandler)), // it does not ask for libp2p's
		pubsub.WithGossipSubParams(p),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
		// Without an author and a number all messages would have one ID, and all but the
		// first vanish.
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithFloodPublish(false),
		pubsub.WithPeerExchange(false),
		pubsub.WithMaxMessageSize(2 * MaxGossip), pubsub.WithMaxControlMessageSize(32 << 10),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(pubsub.NewAllowlistSubscriptionFilter(topic), 4)),
		pubsub.WithSeenMessagesTTL(10 * time.Minute),
		pubsub.WithPeerOutboundQueueSize(256), pubsub.WithValidateQueueSize(256), pubsub.WithValidateThrottle(256),
		pubsub.WithPeerScore(scores(topic)),
	}
}

func messageID(m *pb.Message) string {
	sum := sha256.Sum256(append([]byte(m.GetTopic()+"\x00"), m.GetData()...))
	return string(sum[:20])
}

// scores cut off whoever sends what must be rejected, and nobody for being slow.
func scores(topic string) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	decay := pubsub.ScoreParameterDecay(time.Hour)
	ours := &pubsub.TopicScoreParams{
		TopicWeight: 1, TimeInMeshWeight: 0.0027, TimeInMeshQuantum: time.Second, TimeInMeshCap: 3600,
		FirstMessageDeliveriesWeight: 0.5, FirstMessageDeliveriesDecay: decay, FirstMessageDeliveriesCap: 100,
		InvalidMessageDeliveriesWeight: -100, InvalidMessageDeliveriesDecay: decay,
	}
	params := &pubsub.PeerScoreParams{
		AppSpecificScore: func(peer.ID) float64 { return 0 }, AppSpecificWeight: 1,
		DecayInterval: time.Second, DecayToZero: 0.01, RetainScore: 30 * time.Minute,
		IPColocationFactorWeight: -5, IPColocationFactorThreshold: 64,
		BehaviourPenaltyWeight: -10, BehaviourPenaltyThreshold: 6,
		BehaviourPenaltyDecay: pubsub.ScoreParameterDecay(10 * time.Minute),
		Topics:                map[string]*pubsub.TopicScoreParams{topic: ours},
	}
	return params, &pubsub.PeerScoreThresholds{
		GossipThreshold: -50, PublishThreshold: -100, GraylistThreshold: -200, AcceptPXThreshold: 10, OpportunisticGraftThreshold: 2,
	}
}

// Publish floods a message of this relay.
func (g *Gossip) Publish(ctx context.Context, message []byte) error {
	if len(message) == 0 || len(message) > MaxGossip {
		return errors.New("link: size of a message") // pubsub would say nothing, and drop it
	}
	if err := g.topic.Publish(ctx, message); err != nil {
		return ErrClosed
	}
	return nil
}

// Neighbours returns how many relays this one gossips with.
func (g *Gossip) Neighbours() int { return len(g.topic.ListPeers()) }

func (g *Gossip) validate(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	if from == g.own {
		return pubsub.ValidationAccept
	}
	id, err := idOfPeer(from)
	if err != nil || len(m.GetData()) == 0 || len(m.GetData()) > MaxGossip {
		return pubsub.ValidationReject
	}
	if !g.judge.Relay(id) || !g.allow(from) {
		return pubsub.ValidationIgnore
	}
	switch g.judge.Judge(m.GetData()) {
	case Accept:
		return pubsub.ValidationAccept
	case Reject:
		return pubsub.ValidationReject
	case Ignore:
	}
	return pubsub.ValidationIgnore
}

// allow bounds what one neighbour may make this relay look at.
func (g *Gossip) allow(from peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.counts[from]
	if a == nil {
		if len(g.counts) >= maxGossipers {
			clear(g.counts)
		}
		a = &allowance{slot: gossipMinute, most: gossipEach}
		g.counts[from] = a
	}
	return a.take(time.Now())
}
