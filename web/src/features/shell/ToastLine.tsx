import { CircleAlert, CircleCheck } from 'lucide-react';
import { useToast } from '@/shared/toast';

export function ToastLine() {
  const toast = useToast((state) => state.toast);
  return (
    <div className="toast-region" role="status" aria-live="polite">
      {toast && (
        <div className="toast small">
          {toast.kind === 'good' ? (
            <CircleCheck size={14} className="state-live" aria-hidden />
          ) : (
            <CircleAlert size={14} className="state-error" aria-hidden />
          )}
          {toast.text}
        </div>
      )}
    </div>
  );
}
