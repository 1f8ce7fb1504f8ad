package p2p

// Check reports what Open would refuse before it looks at the machine: ErrAddress
// or ErrProxy.
func (c Config) Check() error {
	if c.Proxy != "" {
		if _, err := parseProxy(c.Proxy); err != nil {
			return err
		}
	}
	if c.Listen != "" {
		return parseListen(c.Listen)
	}
	return nil
}
