package controlplane

// admit says why what a plan changes must not be changed by it, by what holds for the
// environment as a whole; nil: it may. What it looked at is a condition of the write.
func (s *state) admit(p *plan, differing []*draft) error {
	if p.restored != nil {
		return nil // an emergency, and nothing that was not there before
	}
	if err := s.checkFrozen(p, differing); err != nil {
		return err
	}
	if p.unseen {
		return nil // its settings come with the last transaction
	}
	if err := s.checkOrder(p, differing); err != nil {
		return err
	}
	if err := s.checkSource(p, differing); err != nil {
		return err
	}
	if err := s.checkApproval(p, differing); err != nil {
		return err
	}
	return s.checkPolicy(differing)
}
