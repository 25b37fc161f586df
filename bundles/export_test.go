package bundles

// SetStep has f called at each step of keeping and activating a bundle.
func (m *Manager) SetStep(f func(string)) { m.kept.step = f }
