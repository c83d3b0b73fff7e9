package virtio

import (
	"context"
	"sync"
)

// Together runs the parts of a device's Serve at once, and returns when all have. The first error
// ends the others' ctx and is the answer; when there is none, it is that ctx has ended, or nil.
// A part that has nothing more to do returns nil.
func Together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() {
			if err := part(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
