// Package limit spends rate limits. GCRA (the generic cell rate algorithm of
// ITU-T I.371, a token bucket that stores one instant) stands here as a pure
// function in integers; Local is the limiter of one process around it. The
// limiter that replicas share lies in redislimit and leans on Local when its
// Redis is out of reach.
//
// A bucket is named by a charge's Name and Key and by its limit: a charge with
// another rate or burst spends another bucket. So two limits under one name are
// each exact by themselves, and neither can be used to make the other forget.
package limit
