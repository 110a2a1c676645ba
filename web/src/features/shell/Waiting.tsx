import { Logo } from './Logo';

/** The shell's frame while it is not known whether this browser may read; words only where that takes long. */
export function Waiting({ phone }: { phone: boolean }) {
  return (
    <div className={`shell waiting ${phone ? 'phone' : ''}`} aria-busy>
      <header className={phone ? 'phone-top' : 'top'}>
        <div className={phone ? 'row strong' : 'brand'}>
          <Logo />
          Tidemill
        </div>
      </header>
      {!phone && <div className="rail" />}
      <main className="empty">
        <p role="status">Waiting for the platform to answer.</p>
      </main>
      <footer className={phone ? 'bottom-bar' : 'strip'} />
    </div>
  );
}
